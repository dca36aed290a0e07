// Files of what was found. JSON is here already; the service makes the others, and reads no clip for them but one.

import { announce, el, save } from "./dom.js";
import { annotate, render } from "./service.js";
import { problemWords } from "./words.js";

const FORMS = [
  ["JSON", "json", "application/json", "everything, for programs"],
  ["JSON Lines", "jsonl", "application/x-ndjson", "an event a line"],
  ["CSV", "csv", "text/csv", "a table of events"],
  ["CSV, CASME II", "casme2.csv", "text/csv", "with the columns of that data set", { columns: "casme2" }],
  ["CSV, SAMM", "samm.csv", "text/csv", "with the columns of that data set", { columns: "samm" }],
  ["ELAN", "eaf", "text/x-eaf+xml", "annotations for the program ELAN"],
  ["PNG", "png", "image/png", "timeline and events, a picture"],
  ["SVG", "svg", "image/svg+xml", "the same, to scale without loss"],
  ["PDF", "pdf", "application/pdf", "the same, to print"],
  ["Annotated video", "annotated.mp4", "video/mp4", "the clip with what was found drawn in; analyses it again"],
];

/** A panel of buttons; each makes one file and saves it. */
export function downloads({ report, source, options, credential }) {
  const stem = source.name.replace(/\.[^.]+$/, "") || "clip";
  const said = el("p", { role: "status", class: "small" });

  const make = (type, query) => {
    if (type === "application/json") return new Blob([JSON.stringify(report, null, 2)], { type });
    if (type === "video/mp4") return annotate(source.blob, source.name, options, credential());
    return render(report, type, query ?? {}, credential());
  };
  const button = ([name, ending, type, what, query]) =>
    el("button", {
      type: "button",
      title: what,
      async onclick({ currentTarget }) {
        currentTarget.disabled = true;
        said.textContent = `Making ${name} …`;
        try {
          save(await make(type, query), `${stem}.${ending}`);
          said.textContent = `${name} is saved.`;
        } catch (problem) {
          said.textContent = `${name} could not be made: ${problemWords(problem).text}`;
          announce(said.textContent);
        } finally {
          currentTarget.disabled = false;
        }
      },
    }, name);
  return el("div", { class: "panel no-print", id: "downloads" },
    el("h2", {}, "Keep it"),
    el("p", { class: "muted small" }, "This page forgets the clip and the answer when it is closed. JSON holds pictures of the face; so does the video."),
    el("div", { class: "row" }, ...FORMS.map(button)),
    said);
}
