/**
 * Small motion made large, in pictures that are aligned with each other.
 *
 * Linear Eulerian magnification (Wu et al., Eulerian Video Magnification, SIGGRAPH 2012): what differs from the onset
 * is blurred, so that noise and fine detail stay as they are, and added once more for each step of the factor.
 */

const RADIUS_PX = 2;
const PASSES = 3;

/**
 * The picture with its difference from `onset` `factor` times as large, 1 being the picture itself.
 *
 * Arrays of [height * width] gray levels; `difference` is that of `blurredDifference`. Uint8ClampedArray.
 */
export function magnified(picture, difference, factor) {
  return Uint8ClampedArray.from(picture, (x, i) => x + (factor - 1) * difference[i]);
}

/** `picture - onset` without detail finer than some px, Float32Array [height * width]: three box filters. */
export function blurredDifference(picture, onset, width, height) {
  let field = Float32Array.from(picture, (x, i) => x - onset[i]);
  for (let pass = 0; pass < PASSES; pass += 1) {
    field = boxed(boxed(field, width, height, 1, width), height, width, width, 1);
  }
  return field;
}

function boxed(field, length, lines, step, stride) {
  const out = new Float32Array(field.length);
  const at = (line, i) => field[line * stride + Math.min(Math.max(i, 0), length - 1) * step];
  for (let line = 0; line < lines; line += 1) {
    let sum = 0;
    for (let i = -RADIUS_PX; i <= RADIUS_PX; i += 1) sum += at(line, i);
    for (let i = 0; i < length; i += 1) {
      out[line * stride + i * step] = sum / (2 * RADIUS_PX + 1);
      sum += at(line, i + RADIUS_PX + 1) - at(line, i - RADIUS_PX);
    }
  }
  return out;
}
