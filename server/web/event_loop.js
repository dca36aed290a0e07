/** The movement as a loop in slow motion, with its small motions made large. */

import { el } from "./dom.js";
import { grayOf, halved } from "./event_data.js";
import { blurredDifference, magnified } from "./event_magnify.js";
import { clock, freshId, grayAt, paint, panel, slider } from "./event_parts.js";
import { phaseAt, timeTrack } from "./event_track.js";

const SPEEDS = [[0.05, "1/20"], [0.1, "1/10"], [0.25, "1/4"], [0.5, "1/2"], [1, "as it was"]];
const SPEED = 0.1;
const STRONGEST = 20;
const MAGNIFIED = 4;
const REST_MS = 500;

/** The panel; `ended`, an AbortSignal, stops the loop. It waits to be started where less motion was asked for. */
export function loopPanel(report, event, ended) {
  const { course, course_s: times } = event.pictures;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const size = course[0].width;
  const state = { index: 0, factor: calm ? 1 : MAGNIFIED, speed: SPEED, playing: false };
  const pictures = new Course(event.pictures);
  const text = `${times.length} pictures of the movement, ${clock(times[0])} to ${clock(times.at(-1))}`;
  const canvas = el("canvas", { class: "event-stage", width: size, height: size, role: "img", "aria-label": text });
  const now = el("p", { class: "event-now" });

  const show = (index) => {
    state.index = index;
    paint(canvas.getContext("2d"), size, size, grayAt(pictures.at(index, state.factor)));
    now.textContent = `${clock(times[index])}, ${phaseAt(event, times[index])}`;
    track.move(index);
  };
  const track = timeTrack(report, event, (index) => {
    play(false);
    show(index);
  });
  const button = el("button", { type: "button", class: "event-play", onclick: () => play(!state.playing) });
  const play = (on) => {
    state.playing = on;
    button.textContent = on ? "Pause" : "Play";
    if (on) requestAnimationFrame(player(times, state, show));
  };
  track.input.addEventListener("keydown", (press) => {
    if (press.key !== " ") return;
    press.preventDefault();
    play(!state.playing);
  });
  const speeds = SPEEDS.map(([value, name]) => el("option", { value, selected: value === SPEED }, name));
  const id = freshId();
  const chooseSpeed = ({ target }) => {
    state.speed = Number(target.value);
  };
  const magnify = slider(
    "Motion shown",
    { min: 1, max: STRONGEST, value: state.factor },
    (factor) => (factor === 1 ? "as it is" : `${factor} times as large`),
    (factor) => {
      state.factor = factor;
      show(state.index);
    },
  );
  ended.addEventListener("abort", () => play(false));
  show(0);
  play(!calm);
  const note = "Enlarged motion is computed from the pictures and enlarges noise and changes of light as well.";
  return panel(
    "Slow motion",
    "loop",
    el("div", { class: "event-screen" }, canvas, now),
    track.node,
    el(
      "div",
      { class: "event-controls" },
      button,
      el("label", { for: id }, "Speed"),
      el("select", { id, onchange: chooseSpeed }, speeds),
      magnify.row,
    ),
    el("p", { class: "event-note" }, note),
  );
}

/** Pictures of the course, magnified; what was blurred once is kept. */
class Course {
  #differences = [];

  constructor({ course, onset }) {
    this.pictures = course.map(grayOf);
    this.size = course[0].width;
    this.rest = onset.width === this.size ? grayOf(onset) : halved(grayOf(onset), onset.width, onset.height);
  }

  at(index, factor) {
    const picture = this.pictures[index];
    this.#differences[index] ??= blurredDifference(picture, this.rest, this.size, this.size);
    return magnified(picture, this.#differences[index], factor);
  }
}

/** A callback of `requestAnimationFrame` that shows each picture at its time, and rests at the end. */
function player(times, state, show) {
  const last = times.length - 1;
  const length = times[last] - times[0];
  let elapsed = state.index === last ? 0 : times[state.index] - times[0];
  let before = performance.now();
  const step = (now) => {
    if (!state.playing) return;
    elapsed += ((now - before) / 1000) * state.speed;
    before = now;
    if (elapsed > length + (REST_MS / 1000) * state.speed) elapsed = 0;
    const index = Math.max(times.findLastIndex((time) => time - times[0] <= elapsed), 0);
    if (index !== state.index) show(index);
    requestAnimationFrame(step);
  };
  return step;
}
