/** What in the movement made the model choose its class. */

import { heatColour, signedColour } from "./colour.js";
import { el } from "./dom.js";
import { fieldOf, grayOf, peakOf } from "./event_data.js";
import { colourBar, paint, panel, plate } from "./event_parts.js";
import { placeAt } from "./face_points.js";
import { SIDES, unitTitle } from "./facs.js";
import { regionName } from "./words.js";

const SIZE = 512;
const CROP_PX = 256;
const LITTLE = 0.02;

/** The panel of `event.explanation`; where there are pictures, its maps lie on the face. */
export function explanationPanel(event) {
  const { regions, action_units: units, map, attention } = event.explanation;
  const maps = [map ? lossMap(event, fieldOf(map)) : null, attention ? attentionMap(event, fieldOf(attention)) : null];
  return panel(
    "Why this class",
    "explanation",
    el("p", {}, inOneSentence(event.explanation)),
    el(
      "div",
      { class: "event-split" },
      el("div", { class: "event-plates" }, maps),
      el("div", {}, losses("Regions of the face", regions), losses("Action units", units)),
    ),
    el(
      "p",
      { class: "event-note" },
      "Measured by hiding (occlusion): the motion of one part at a time was taken away and the model asked again. ",
      "It tells what the model used, not why the person moved or what they feel. Parts that say the same can stand in ",
      "for one another, so the losses need not add up.",
    ),
  );
}

/** What the class rests on: the two strongest regions and the strongest action unit, or that no single part decides. */
export function inOneSentence({ label, probability, regions, action_units: units }) {
  const start = `“${label}” has a score of ${probability.toFixed(2)}`;
  const strong = whole(regions).filter(({ drop }) => drop >= LITTLE);
  if (strong.length === 0) {
    return `${start}; hiding any one region of the face lowers it by less than ${LITTLE}: no single region decides.`;
  }
  const lost = strong.slice(0, 2).map((part) => `${nameOf(part, regions)} (${part.drop.toFixed(2)} lost when hidden)`);
  const unit = units.find(({ drop }) => drop >= LITTLE);
  const also = unit ? ` Of the action units, ${nameOf(unit, units)} counts most (${unit.drop.toFixed(2)}).` : "";
  return `${start}, which rests most on: ${lost.join("; ")}.${also}`;
}

/** Parts without the sides of those that were hidden as a whole too. */
function whole(parts) {
  const asOne = new Set(parts.filter(({ side }) => side === "both").map(({ name }) => name));
  return parts.filter(({ name, side }) => side === "both" || !asOne.has(name));
}

function nameOf({ name, side }, parts) {
  const words = name.startsWith("AU") ? unitTitle(Number(name.slice(2))) : regionName(name);
  const sided = side !== "both" || parts.some((each) => each.name === name && each.side !== "both");
  return sided ? `${words}, ${SIDES[side]}` : words;
}

function losses(title, parts) {
  if (parts.length === 0) return null;
  const widest = Math.max(...parts.map(({ drop }) => Math.abs(drop)), LITTLE);
  const rows = whole(parts).map((part) => {
    const bar = el("span", { class: part.drop < 0 ? "event-against" : "event-for" });
    bar.style.setProperty("--share", Math.abs(part.drop) / widest);
    const sides = parts.filter(({ name, side }) => name === part.name && side !== part.side && part.side === "both");
    const each = sides.map(({ side, drop }) => `${side} ${change(drop)}`).join(", ");
    return el(
      "li",
      {},
      el("span", {}, nameOf(part, parts), each ? el("span", { class: "event-note" }, each) : null),
      el("span", { class: "event-track", "aria-hidden": "true" }, bar),
      el("span", { class: "event-number" }, change(part.drop)),
    );
  });
  const about = el("p", { class: "event-note" }, "Change of the score when hidden; hatched where it rises");
  return el("div", { class: "event-losses" }, el("h4", {}, title), about, el("ol", { class: "event-bars" }, rows));
}

function change(drop) {
  const size = Math.abs(drop).toFixed(2);
  return size === "0.00" ? size : `${drop < 0 ? "+" : "−"}${size}`;
}

function lossMap(event, field) {
  const full = Math.max(...field.values.map(Math.abs), LITTLE);
  const peak = peakOf(field.values);
  const largest = `${field.values[peak].toFixed(2)}, ${placeOn(event, field, peak)}`;
  const text = `Loss of the score by place: the largest is ${largest}`;
  const unit = "loss of the score when hidden: red supports the class, blue speaks against it";
  const legend = colourBar(signedColour, -1, [`−${full.toFixed(2)}`, "0", `+${full.toFixed(2)}`], unit).bar;
  return plate("What the class rests on", { size: SIZE, text, legend }, (context) =>
    overFace(context, event, field, (x) => signedColour(x / full)),
  ).figure;
}

function attentionMap(event, field) {
  const peak = peakOf(field.values);
  const strongest = `${field.values[peak].toFixed(2)} of 1, ${placeOn(event, field, peak)}`;
  const text = `Attention of the network: the strongest is ${strongest}`;
  const legend = colourBar(heatColour, 0, ["0", "0.5", "1"], "what the network itself says it looked at").bar;
  const draw = (context) => overFace(context, event, field, heatColour);
  return plate("Attention", { size: SIZE, text, legend }, draw).figure;
}

function placeOn({ pictures }, { width, height }, at) {
  const [x, y] = [((at % width) + 0.5) / width, (Math.floor(at / width) + 0.5) / height];
  if (pictures) return `at the ${placeAt(pictures.landmarks, x * CROP_PX, y * CROP_PX)}`;
  return `${Math.round(100 * x)} % from the left and ${Math.round(100 * y)} % from the top`;
}

/** Colours are multiplied onto the gray face, so that white leaves it as it is. */
function overFace(context, { pictures }, field, colourOf) {
  paint(context, field.width, field.height, (i) => colourOf(field.values[i]));
  if (!pictures) return;
  const pixels = grayOf(pictures.onset);
  const { width, height } = pictures.onset;
  const face = new OffscreenCanvas(SIZE, SIZE);
  // Lifted, since dark skin would hide the colours.
  paint(face.getContext("2d"), width, height, (i) => Array(3).fill(96 + 0.62 * pixels[i]));
  context.globalCompositeOperation = "multiply";
  context.drawImage(face, 0, 0);
}
