/** What the model answered, how far that may be trusted, and when the movement was. */

import { el } from "./dom.js";
import { clock, panel } from "./event_parts.js";
import { capital, gradeSentence, kindName, regionName } from "./words.js";

/** The title of the view, such as "Micro-expression: positive". */
export function titleOf({ kind, abstained, label }) {
  return `${capital(kindName(kind))}: ${abstained ? "no class given" : label}`;
}

/** When it was, how long, and what moved. */
export function summaryOf(event) {
  const moved = event.regions.slice(0, 3).map(regionName);
  const span = `${clock(event.onset_s)} to ${clock(event.offset_s)} of the clip`;
  const start = `Face ${event.track_id} moved for ${duration(event)}, from ${span}.`;
  return moved.length ? `${start} What moved most: ${moved.join("; ")}.` : start;
}

function duration({ onset_s: onset, offset_s: offset }) {
  return `${Math.round(1000 * (offset - onset))} ms`;
}

/** Why no class is given, or an empty text where one is. `limit` is the model's `abstain_below`, 0 if unknown. */
export function abstention({ abstained, label, confidence, evidence: { reasons } }, limit) {
  if (!abstained) return "";
  const besides = `The first choice, “${label}”, is shown to compare models and must not be used.`;
  if (reasons.some((reason) => reason.startsWith("nothing moved"))) {
    return `No class is given, since nothing moved between onset and apex. ${besides}`;
  }
  const below = limit ? `below the ${limit.toFixed(2)} that this model asks for` : "below what this model asks for";
  return `No class is given: the highest score, ${confidence.toFixed(2)}, is ${below}. ${besides}`;
}

/**
 * The panel of the classes. `model` is the answer of `GET /v1/models/{name}` or null; of it the limit below which an
 * answer is withheld and the measured calibration are told. `sentence` puts reasons into words.
 */
export function answerPanel(event, model, sentence) {
  const limit = model?.contract?.abstain_below ?? 0;
  const withheld = abstention(event, limit);
  return panel(
    "Class",
    "answer",
    withheld ? el("p", { class: "event-withheld" }, withheld) : null,
    bars(event, limit),
    el("p", { class: "event-note" }, meaningOfScores(model)),
    evidence(event.evidence, sentence),
  );
}

function bars(event, limit) {
  const sorted = Object.entries(event.probabilities).sort((a, b) => b[1] - a[1]);
  const list = el("ol", { class: "event-bars" }, sorted.map(([label, score]) => bar(event, label, score, limit)));
  list.style.setProperty("--limit", limit);
  const mark = `Upright line: ${limit.toFixed(2)}. Below it the model gives no class.`;
  return el("div", {}, list, limit ? el("p", { class: "event-note" }, mark) : null);
}

function bar(event, label, score, limit) {
  const chosen = label === event.label;
  const filled = el("span", { dataset: { label } });
  filled.style.setProperty("--share", score);
  const role = event.abstained ? " (withheld)" : " (answer)";
  return el(
    "li",
    { class: chosen ? "event-first" : null },
    el("span", {}, label, chosen ? role : null),
    el("span", { class: "event-track", "aria-hidden": "true" }, filled, limit ? el("i", {}) : null),
    el("span", { class: "event-number" }, score.toFixed(2)),
  );
}

/** What a score means, with what was measured of it where the model's card says so. */
export function meaningOfScores(model) {
  const said = "The scores add up to 1. They put answers in order; a score is not the chance that the answer is right.";
  const result = (model?.card?.results ?? []).findLast(({ calibration }) => calibration);
  if (!result) return said;
  const { ece, samples } = result.calibration;
  const off = `off by ${ece.toFixed(2)} on average (expected calibration error)`;
  return `${said} On ${samples} labelled samples (${result.data}) this model's scores were ${off}.`;
}

function evidence({ grade, reasons }, sentence) {
  const said = gradeSentence(grade) + (grade === "poor" ? " Treat this answer as withheld." : "");
  return el(
    "div",
    { class: "event-evidence" },
    el("p", {}, el("b", { class: `event-grade event-${grade}` }, `Evidence: ${grade}.`), ` ${said}`),
    reasons.length ? el("ul", {}, reasons.map((reason) => el("li", {}, capital(sentence(reason))))) : null,
  );
}

/** The panel of the times. */
export function timesPanel(event) {
  const kind = event.kind === "micro" ? "half a second or less from onset to offset" : "longer than half a second";
  const at = (name) => `${clock(event[`${name}_s`])}, frame ${event[`${name}_frame`]}`;
  return panel(
    "Times",
    "times",
    el(
      "dl",
      {},
      term("Onset", at("onset"), "the face begins to move"),
      term("Apex", at("apex"), "the movement is at its largest"),
      term("Offset", at("offset"), "the face is back at rest"),
      term("Duration", duration(event), "from onset to offset"),
      term("Kind", event.kind, kind),
    ),
  );
}

function term(name, value, meaning) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, value), el("span", {}, meaning)));
}
