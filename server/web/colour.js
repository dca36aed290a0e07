/**
 * Colours that stand for numbers. White is "nothing" in all of them, so that one rule reads every map.
 *
 * Motion: the hue circle of Baker et al., A Database and Evaluation Methodology for Optical Flow (IJCV 2011). The two
 * ramps are laid out in OKLab (Ottosson 2020) so that equal steps of the number are equal steps to the eye, and grow
 * darker all the way, which a print and an eye that confuses hues keep.
 */

const CORNERS = [[255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255], [0, 0, 255], [255, 0, 255], [255, 0, 0]];
const SPANS = [15, 6, 4, 11, 13, 6];
const CIRCLE = SPANS.flatMap((span, k) =>
  Array.from({ length: span }, (_, i) => mixed(CORNERS[k], CORNERS[k + 1], i / span)),
);

/**
 * Red, green and blue, 0..255, of a motion `x` (right) and `y` (down) in shares of the full one; longer ones have the
 * colour of the full one. Red goes right, yellow down, cyan-blue left, violet up.
 */
export function motionColour(x, y) {
  const length = Math.min(Math.hypot(x, y), 1);
  const at = ((Math.atan2(-y, -x) / Math.PI + 1) / 2) * (CIRCLE.length - 1);
  const below = Math.floor(at);
  const pure = mixed(CIRCLE[below], CIRCLE[(below + 1) % CIRCLE.length], at - below);
  return mixed([255, 255, 255], pure, length);
}

/** Red, green and blue of a share 0..1 of the largest number: white, yellow, red, dark purple. */
export function heatColour(share) {
  return HEAT[Math.round(clamped(share, 0, 1) * (HEAT.length - 1))];
}

/** Red, green and blue of a signed share -1..1: blue below zero, white at zero, red above. */
export function signedColour(share) {
  const side = share < 0 ? COOL : WARM;
  return side[Math.round(clamped(Math.abs(share), 0, 1) * (side.length - 1))];
}

/** Lightness and the two opponent colours of OKLab, of red, green and blue 0..255. */
export function oklab(rgb) {
  const [r, g, b] = rgb.map((c) => (c > 10.31475 ? ((c / 255 + 0.055) / 1.055) ** 2.4 : c / 255 / 12.92));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function srgb([lightness, a, b]) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((c) => 255 * (c > 0.0031308 ? 1.055 * c ** (1 / 2.4) - 0.055 : 12.92 * c));
}

/** 256 colours with equal distances along a line through `stops`: lightness, chroma, hue in degrees. */
function ramp(stops) {
  const steps = 1024;
  const line = Array.from({ length: steps + 1 }, (_, i) => {
    const at = (i / steps) * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);
    const [lightness, chroma, hue] = mixed(stops[k], stops[k + 1], at - k);
    return shown(lightness, chroma, (hue * Math.PI) / 180);
  });
  const along = [0];
  for (let i = 1; i <= steps; i += 1) along.push(along[i - 1] + distance(line[i - 1], line[i]));
  let i = 0;
  return Array.from({ length: 256 }, (_, k) => {
    const goal = (k / 255) * along[steps];
    while (i < steps && along[i] < goal) i += 1;
    return srgb(line[i]).map((c) => Math.round(clamped(c, 0, 255)));
  });
}

/** The strongest colour of this lightness and hue, up to `chroma`, that a screen has. */
function shown(lightness, chroma, hue) {
  for (let c = chroma; c > 0; c -= 0.002) {
    const colour = [lightness, c * Math.cos(hue), c * Math.sin(hue)];
    if (srgb(colour).every((x) => x >= -0.5 && x <= 255.5)) return colour;
  }
  return [lightness, 0, 0];
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

function mixed(a, b, share) {
  return a.map((x, i) => x + (b[i] - x) * share);
}

function clamped(x, low, high) {
  return Math.min(Math.max(x, low), high);
}

const HEAT = ramp([
  [1, 0, 95], [0.94, 0.1, 95], [0.82, 0.16, 70], [0.64, 0.21, 38], [0.46, 0.18, 12], [0.28, 0.11, -25],
]);
const WARM = ramp([[1, 0, 45], [0.8, 0.11, 48], [0.44, 0.17, 30]]);
const COOL = ramp([[1, 0, 245], [0.8, 0.1, 242], [0.44, 0.15, 262]]);
