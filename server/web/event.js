/** The view of one event: what was seen, how sure the model is, and why. */

import { el } from "./dom.js";
import { answerPanel, summaryOf, timesPanel, titleOf } from "./event_answer.js";
import { comparePanel } from "./event_compare.js";
import { explanationPanel } from "./event_explanation.js";
import { loopPanel } from "./event_loop.js";
import { motionPanel } from "./event_motion.js";
import { panel } from "./event_parts.js";
import { unitsPanel } from "./event_units.js";

const NO_PICTURES = "This report holds no pictures of the movement: they were not asked for, or it has too many events.";
const NO_EXPLANATION = "This report holds no explanation: it was not asked for, or the model cannot give one.";

/**
 * Fills `container` with one event of a report and moves the focus to its title.
 *
 * `report` and `event` are those of the service's JSON; `event.pictures` and `event.explanation` may be missing.
 * `strings.sentence` puts reasons into words. `model`, the answer of `GET /v1/models/{name}`, tells below which score no
 * class is given and how well scores were measured to hold; it may be left out. Returns `{close}`, which empties the
 * container and gives the focus back to where it was; Escape and the button do the same. Throws RangeError where
 * pictures do not have the size that they state.
 */
export function showEvent(container, { report, event, strings, model = null }) {
  const opener = document.activeElement;
  const life = new AbortController();
  const close = () => {
    if (life.signal.aborted) return;
    life.abort();
    container.replaceChildren();
    opener?.focus();
  };
  const title = el("h2", { tabindex: -1 }, titleOf(event));
  const header = el(
    "header",
    {},
    el("div", {}, title, el("p", {}, summaryOf(event))),
    el("button", { type: "button", onclick: close }, "Close"),
  );
  const answer = [answerPanel(event, model, strings.sentence), timesPanel(event)];
  const pictured = event.pictures
    ? [
        el("div", { class: "event-top" }, loopPanel(report, event, life.signal), el("div", {}, answer)),
        comparePanel(event, life.signal),
        motionPanel(event),
      ]
    : [el("div", { class: "event-top" }, answer), panel("Pictures", "loop", el("p", {}, NO_PICTURES))];
  const why = event.explanation
    ? explanationPanel(event)
    : panel("Why this class", "explanation", el("p", {}, NO_EXPLANATION));
  container.replaceChildren(el("article", { class: "event-view" }, header, ...pictured, unitsPanel(event), why));
  const escape = (press) => {
    if (press.key !== "Escape") return;
    press.preventDefault();
    close();
  };
  container.addEventListener("keydown", escape, { signal: life.signal });
  title.focus();
  return { close };
}
