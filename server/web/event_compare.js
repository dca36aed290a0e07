/** Onset and apex beside each other, one over the other, and what differs between them. */

import { signedColour } from "./colour.js";
import { el } from "./dom.js";
import { grayOf, peakOf, quantile } from "./event_data.js";
import { clock, colourBar, grayAt, paint, panel, plate, slider } from "./event_parts.js";
import { placeAt } from "./face_points.js";

const BLINK_MS = 600;
const STRONGEST = 20;
const FULL_LEVELS = 128;

/** The panel; `ended`, an AbortSignal, stops what blinks. */
export function comparePanel(event, ended) {
  const { onset, apex, landmarks } = event.pictures;
  const [before, after] = [onset, apex].map(grayOf);
  const size = onset.width;
  const about = "The face before the movement and at its largest, turned and scaled so that both lie on each other.";
  return panel(
    "Onset and apex",
    "compare",
    el("p", {}, about),
    el(
      "div",
      { class: "event-plates" },
      still("Onset", event.onset_s, before, size, "the face begins to move"),
      still("Apex", event.apex_s, after, size, "the movement is at its largest"),
      overlay(before, after, size, ended),
      difference(before, after, size, landmarks),
    ),
  );
}

function still(name, time_s, pixels, size, meaning) {
  const mean = pixels.reduce((a, b) => a + b, 0) / pixels.length;
  const numbers = `${size} by ${size} gray pixels, mean level ${mean.toFixed(0)} of 255`;
  const text = `The face at the ${name.toLowerCase()}, ${clock(time_s)}: ${numbers}`;
  const draw = (context) => paint(context, size, size, grayAt(pixels));
  return plate(name, { size, text, caption: ` at ${clock(time_s)}: ${meaning}` }, draw).figure;
}

function overlay(before, after, size, ended) {
  const [onset, apex] = [before, after].map((pixels) => {
    const source = new OffscreenCanvas(size, size);
    paint(source.getContext("2d"), size, size, grayAt(pixels));
    return source;
  });
  const caption = ": onset left of the line, apex right of it";
  const { figure, canvas } = plate("One over the other", { size, text: "", caption }, () => draw(0.5));
  const draw = (share) => {
    const context = canvas.getContext("2d");
    const at = Math.round(share * size);
    const mixed = at > 0 && at < size;
    context.drawImage(apex, 0, 0);
    if (at > 0) context.drawImage(onset, 0, 0, at, size, 0, 0, at, size);
    context.fillStyle = "#fff";
    if (mixed) context.fillRect(at - 1, 0, 2, size);
    const shown = `The onset on the left ${Math.round(100 * share)} % of the picture, the apex on the rest`;
    canvas.setAttribute("aria-label", mixed ? shown : `The whole ${at ? "onset" : "apex"}`);
  };
  const wipe = slider("Line", { min: 0, max: 100, value: 50 }, (x) => `at ${x} %`, (x) => {
    blink(false);
    draw(x / 100);
  });
  let timer;
  const blink = (on) => {
    clearInterval(timer);
    button.setAttribute("aria-pressed", on);
    let share = 0;
    const turn = () => draw((share = 1 - share));
    if (on) {
      turn();
      timer = setInterval(turn, BLINK_MS);
    } else {
      draw(wipe.input.valueAsNumber / 100);
    }
  };
  const pressed = () => blink(button.getAttribute("aria-pressed") === "false");
  const button = el("button", { type: "button", "aria-pressed": "false", onclick: pressed }, "Blink");
  ended.addEventListener("abort", () => clearInterval(timer));
  canvas.classList.add("event-wiped");
  for (const kind of ["pointerdown", "pointermove"]) {
    canvas.addEventListener(kind, ({ buttons, offsetX }) => {
      if (!buttons) return;
      wipe.input.value = (100 * offsetX) / canvas.clientWidth;
      wipe.input.dispatchEvent(new Event("input"));
    });
  }
  figure.append(el("div", { class: "event-controls" }, wipe.row, button));
  return figure;
}

/** Apex minus onset. Amplified f times, `FULL_LEVELS / f` gray levels have the full colour. */
function difference(before, after, size, landmarks) {
  const changed = Float32Array.from(after, (x, i) => x - before[i]);
  const sizes = changed.map(Math.abs);
  const peak = peakOf(sizes);
  const place = placeAt(landmarks, peak % size, Math.floor(peak / size));
  const factor = Math.min(STRONGEST, Math.max(1, Math.round(FULL_LEVELS / Math.max(quantile(sizes, 0.99), 1))));
  const numbers = (f) => [`−${Math.round(FULL_LEVELS / f)}`, "0", `+${Math.round(FULL_LEVELS / f)}`];
  const unit = "gray levels: blue is darker at the apex, red is brighter";
  const legend = colourBar(signedColour, -1, numbers(factor), unit);
  const text = `Apex minus onset: the largest change is ${changed[peak].toFixed(0)} of 255 gray levels, at the ${place}`;
  const draw = (context, f) => paint(context, size, size, (i) => signedColour((changed[i] * f) / FULL_LEVELS));
  const properties = { size, text, caption: ": apex minus onset", legend: legend.bar };
  const { figure, canvas } = plate("Difference", properties, (context) => draw(context, factor));
  const amplified = slider("Amplified", { min: 1, max: STRONGEST, value: factor }, (f) => `${f} times`, (f) => {
    legend.tell(numbers(f));
    draw(canvas.getContext("2d"), f);
  });
  figure.append(el("div", { class: "event-controls" }, amplified.row));
  return figure;
}
