/** The motion from onset to apex: colours, arrows, and how much the skin is stretched. */

import { heatColour, motionColour } from "./colour.js";
import { el } from "./dom.js";
import { fieldOf, grayOf, lengthsOf, peakOf, quantile } from "./event_data.js";
import { colourBar, grayAt, paint, panel, plate } from "./event_parts.js";
import { directionWords, outlines, placeAt } from "./face_points.js";

const CROP_PX = 256;
const CROP_IOD_PX = 115.2;
const SIZE = 512;
const SCALE = SIZE / CROP_PX;
const WHEEL = 120;
const GRID = 7;
const LONGEST_ARROW_PX = 24;
const STILL_PX = 0.05;

/** The panel of `event.pictures`. */
export function motionPanel({ pictures }) {
  const { onset, landmarks } = pictures;
  const [u, v, strain] = [pictures.u, pictures.v, pictures.strain].map(fieldOf);
  const lengths = lengthsOf(u, v);
  const full = Math.max(Math.ceil(10 * quantile(lengths, 0.995)) / 10, 0.5);
  const motion = { u, v, lengths, full, landmarks, text: largestMotion(u, v, lengths, landmarks) };
  const scale = `Distances are pixels (px) of the aligned face, ${CROP_IOD_PX} px between the eyes.`;
  return panel(
    "Motion from onset to apex",
    "motion",
    el("p", {}, `${motion.text}. White is where nothing moves. ${scale}`),
    el("div", { class: "event-plates" }, colours(motion), arrows(motion, onset), stretched(strain, landmarks)),
  );
}

function largestMotion(u, v, lengths, landmarks) {
  const peak = peakOf(lengths);
  if (lengths[peak] < STILL_PX) return `Nothing moves by more than ${STILL_PX} px`;
  const share = ((100 * lengths[peak]) / CROP_IOD_PX).toFixed(1);
  const length = `${lengths[peak].toFixed(1)} px (${share} % of the distance between the eyes)`;
  const way = directionWords(u.values[peak], v.values[peak]);
  return `The largest motion is ${length}, ${way}, at the ${placeOf(peak, u, landmarks)}`;
}

/** The part of the face at one index of a field of the whole crop. */
function placeOf(index, { width, height }, landmarks) {
  const x = ((index % width) + 0.5) / width;
  const y = (Math.floor(index / width) + 0.5) / height;
  return placeAt(landmarks, x * CROP_PX, y * CROP_PX);
}

function colours({ u, v, full, landmarks, text }) {
  const properties = { size: SIZE, text: `Optical flow in colours. ${text}`, legend: wheel(full) };
  return plate("Direction and length", properties, (context) => {
    paint(context, u.width, u.height, (i) => motionColour(u.values[i] / full, v.values[i] / full));
    outlined(context, landmarks);
  }).figure;
}

/** The circle of directions: its rim is the full colour. */
function wheel(full) {
  const canvas = el("canvas", { width: WHEEL, height: WHEEL, "aria-hidden": "true" });
  const middle = (WHEEL - 1) / 2;
  const at = (i) => motionColour(((i % WHEEL) - middle) / middle, (Math.floor(i / WHEEL) - middle) / middle);
  paint(canvas.getContext("2d"), WHEEL, WHEEL, at);
  const words = "The hue is the direction: red right, yellow down, blue left, violet up.";
  const scale = `The rim of the wheel and the full colour: ${full.toFixed(1)} px or more.`;
  return el("div", { class: "event-wheel" }, canvas, el("span", { class: "event-note" }, `${words} ${scale}`));
}

function arrows({ u, v, lengths, full }, onset) {
  const longer = Math.max(1, Math.floor(LONGEST_ARROW_PX / full));
  const least = full / 10;
  const text = `Arrows are ${longer} times as long as the motion; none where it is below ${least.toFixed(1)} px.`;
  const pixels = grayOf(onset);
  const legend = el("p", { class: "event-note" }, text);
  return plate("Arrows over the onset", { size: SIZE, text, legend }, (context) => {
    paint(context, onset.width, onset.height, grayAt(pixels));
    for (let row = Math.floor(GRID / 2); row < u.height; row += GRID) {
      for (let column = Math.floor(GRID / 2); column < u.width; column += GRID) {
        const i = row * u.width + column;
        if (lengths[i] < least) continue;
        const [x, y] = [column, row].map((at) => ((at + 0.5) * SIZE) / u.width);
        arrow(context, x, y, u.values[i] * longer * SCALE, v.values[i] * longer * SCALE);
      }
    }
  }).figure;
}

/** Light with a dark rim, so that it is seen on any skin. */
function arrow(context, x, y, dx, dy) {
  const angle = Math.atan2(dy, dx);
  const head = Math.min(10, 0.45 * Math.hypot(dx, dy));
  const path = new Path2D();
  path.moveTo(x, y);
  path.lineTo(x + dx, y + dy);
  for (const turn of [-2.6, 2.6]) {
    path.moveTo(x + dx, y + dy);
    path.lineTo(x + dx + head * Math.cos(angle + turn), y + dy + head * Math.sin(angle + turn));
  }
  context.lineCap = "round";
  for (const [colour, width] of [["#0009", 5.5], ["#ffd84d", 2.6]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  }
}

function stretched(strain, landmarks) {
  const full = Math.max(quantile(strain.values, 0.995), 0.01);
  const peak = peakOf(strain.values);
  const largest = `${strain.values[peak].toFixed(2)} px per px, at the ${placeOf(peak, strain, landmarks)}`;
  const numbers = [0, full / 2, full].map((x) => x.toFixed(2));
  const properties = {
    size: SIZE,
    text: `Optical strain: the largest is ${largest}`,
    caption: ": how much the skin is stretched or pushed together",
    legend: colourBar(heatColour, 0, numbers, "px of stretch per px of skin; more has the last colour").bar,
  };
  return plate("Optical strain", properties, (context) => {
    paint(context, strain.width, strain.height, (i) => heatColour(strain.values[i] / full));
    outlined(context, landmarks);
  }).figure;
}

function outlined(context, landmarks) {
  context.save();
  context.scale(SCALE, SCALE);
  context.strokeStyle = "#3338";
  context.stroke(new Path2D(outlines(landmarks)));
  context.restore();
}
