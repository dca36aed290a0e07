// The last seconds as a moving picture: motion of each part of the face, and movements as bands.

import { KEPT_S, NOTABLE_IOD, PARTS } from "./live_motion.js";

const LANE_PX = 34;
const LABEL_PX = 20;
const BAND_PX = 18;
const WORDS_PX = 18;
const LEAST_TOP_IOD = 0.04;
const AXIS_PX = 22;
const FONT = "12px system-ui, sans-serif";
const GAP_S = 0.2;
const COLOURS = ["text", "muted", "line", "accent", "micro", "macro", "withdrawn"];

const TIMELINE_PX = PARTS.length * (LANE_PX + LABEL_PX) + LABEL_PX + BAND_PX + WORDS_PX + AXIS_PX;

/** @param {HTMLCanvasElement} canvas as wide as its box; redrawn by `draw` */
export function openTimeline(canvas) {
  let colours = {};
  let top = LEAST_TOP_IOD;
  const picture = canvas.getContext("2d");
  canvas.style.height = `${TIMELINE_PX}px`;

  function fit() {
    const density = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * density), Math.round(TIMELINE_PX * density)];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    picture.setTransform(density, 0, 0, density, 0, 0);
  }

  return {
    /** Take the colours of the page, anew when its theme changes. */
    recolour() {
      const style = getComputedStyle(canvas);
      colours = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    },

    /** Draw what is known: `samples` of live_motion.js, `movements` of live_movements.js, `now` the time until which they are. */
    draw(samples, movements, now) {
      fit();
      const width = canvas.clientWidth;
      const end = Math.max(now, KEPT_S);
      const x = (time) => width - ((end - time) / KEPT_S) * width;
      picture.clearRect(0, 0, width, TIMELINE_PX);
      picture.font = FONT;
      // Grows at once and shrinks slowly, so that heights can be compared.
      const highest = Math.max(LEAST_TOP_IOD, ...samples.flatMap((sample) => sample.parts));
      top = Math.max(highest, LEAST_TOP_IOD, top * 0.98);
      seconds(picture, x, end, colours);
      PARTS.forEach((name, part) => lane(picture, { name, part, samples, x, width, top, colours }));
      bands(picture, movements, x, now, width, colours);
    },
  };
}

function lane(picture, { name, part, samples, x, width, top, colours }) {
  const bottom = (part + 1) * (LANE_PX + LABEL_PX);
  const height = (size) => (Math.min(size, top) / top) * LANE_PX;
  picture.fillStyle = colours.muted;
  picture.fillText(name, 0, bottom - LANE_PX - 3);
  picture.strokeStyle = colours.line;
  picture.lineWidth = 1;
  line(picture, [[0, bottom + 0.5], [width, bottom + 0.5]]);
  picture.setLineDash([3, 4]);
  line(picture, [[0, bottom - height(NOTABLE_IOD)], [width, bottom - height(NOTABLE_IOD)]]);
  picture.setLineDash([]);
  picture.strokeStyle = colours.accent;
  picture.lineWidth = 1.75;
  for (const run of runs(samples)) line(picture, run.map((sample) => [x(sample.time), bottom - height(sample.parts[part])]));
}

/** Stretches without a gap. */
function runs(samples) {
  const found = [];
  for (const sample of samples) {
    const last = found.at(-1);
    if (last && sample.time - last.at(-1).time < GAP_S) last.push(sample);
    else found.push([sample]);
  }
  return found;
}

function line(picture, points) {
  picture.beginPath();
  for (const [x, y] of points) picture.lineTo(x, y);
  picture.stroke();
}

function bands(picture, movements, x, now, width, colours) {
  const laneTop = PARTS.length * (LANE_PX + LABEL_PX) + LABEL_PX;
  picture.fillStyle = colours.muted;
  picture.fillText("Movements", 0, laneTop - 5);
  for (const movement of movements) {
    const end = movement.offset_s ?? movement.until_s ?? now;
    if (x(end) < 0) continue;
    const [left, right] = [x(movement.onset_s), Math.max(x(end), x(movement.onset_s) + 3)];
    const colour = colours[movement.state === "event" ? movement.event.kind : movement.state === "withdrawn" ? "withdrawn" : "accent"];
    picture.globalAlpha = 0.14;
    picture.fillStyle = colour;
    picture.fillRect(left, 0, right - left, laneTop);
    picture.globalAlpha = 1;
    picture.strokeStyle = colour;
    picture.lineWidth = 2;
    picture.setLineDash(movement.state === "event" ? [] : [4, 3]);
    picture.strokeRect(left, laneTop, right - left, BAND_PX);
    picture.setLineDash([]);
    if (movement.apex_s !== undefined && movement.state !== "withdrawn") {
      line(picture, [[x(movement.apex_s), laneTop], [x(movement.apex_s), laneTop + BAND_PX]]);
    }
    const room = picture.measureText(movement.short).width;
    picture.fillStyle = colours.text;
    picture.fillText(movement.short, Math.min((left + right - room) / 2, width - room), laneTop + BAND_PX + WORDS_PX - 4);
  }
}

function seconds(picture, x, end, colours) {
  picture.fillStyle = colours.muted;
  picture.strokeStyle = colours.line;
  picture.lineWidth = 1;
  const every = 2;
  for (let time = Math.ceil((end - KEPT_S) / every) * every; time <= end; time += every) {
    if (time < 0) continue;
    picture.globalAlpha = 0.5;
    line(picture, [[x(time), 0], [x(time), TIMELINE_PX - AXIS_PX]]);
    picture.globalAlpha = 1;
    const words = `${time} s`;
    const at = x(time) - picture.measureText(words).width / 2;
    if (at > 0 && at + 24 < x(end)) picture.fillText(words, at, TIMELINE_PX - 5);
  }
}
