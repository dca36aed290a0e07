/** The action units of an event, on a face and in a table. */

import { el } from "./dom.js";
import { panel } from "./event_parts.js";
import { faceDiagram } from "./face_diagram.js";
import { PLAIN_FACE } from "./face_plain.js";
import { SIDES, WORK, percent } from "./facs.js";
import { unitName } from "./words.js";

/** The panel of the action units of `event`. */
export function unitsPanel({ action_units: units, pictures }) {
  const about = "An action unit is the visible work of one muscle or a few (Facial Action Coding System, FACS).";
  if (units.length === 0) {
    const none = "None is reported: the model has no part for them, or none of them scored 0.50 or more.";
    return panel("Action units", "units", el("p", {}, about), el("p", {}, none));
  }
  const diagram = faceDiagram(pictures?.landmarks ?? PLAIN_FACE, units);
  const whose = pictures ? "The face is drawn from its landmarks at the onset." : "The face is a general one.";
  const caption = `Darker spots went farther; arrows show which way a unit moves the skin. ${whose}`;
  return panel(
    "Action units",
    "units",
    el("p", {}, about),
    el("div", { class: "event-split" }, el("figure", {}, diagram, el("figcaption", {}, caption)), table(units, diagram)),
  );
}

function table(units, diagram) {
  const heads = ["Unit", "What it does", "Side", "Share of full motion", "Score"];
  return el(
    "div",
    {},
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table of action units" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, units.map((unit) => row(unit, diagram))),
      ),
    ),
    el(
      "p",
      { class: "event-note" },
      "The share is measured in the motion of the skin; 0 % means that the model named a unit whose motion was not ",
      "found at its place. The score is the model's, from 0.50 on, and no probability.",
    ),
  );
}

function row({ au, side, intensity, confidence }, diagram) {
  const choose = (on) => {
    for (const mark of diagram.querySelectorAll(`[data-au="${au}"]`)) mark.classList.toggle("event-chosen", on);
  };
  return el(
    "tr",
    { onmouseenter: () => choose(true), onmouseleave: () => choose(false) },
    el("th", { scope: "row" }, `AU ${au}`, el("span", {}, unitName(au))),
    el("td", {}, WORK[au] ?? ""),
    el("td", {}, SIDES[side]),
    el("td", { class: "event-number" }, percent(intensity)),
    el("td", { class: "event-number" }, confidence.toFixed(2)),
  );
}
