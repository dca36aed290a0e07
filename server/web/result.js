// What was found in one clip: the answer in words, the clip itself, the timeline, the table, files to keep.

import { byId, el } from "./dom.js";
import { downloads } from "./downloads.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";
import * as words from "./words.js";

export class Result {
  #host;
  #report;
  #rows = [];
  #buttons = [];
  #openEvent;
  #timeline;

  /**
   * @param {HTMLElement} host
   * @param {{report: object, source: {name: string, blob: Blob}, options: object, credential: () => string,
   *   openEvent: (index: number) => void, again: () => void}} with_
   */
  constructor(host, { report, source, options, credential, openEvent, again }) {
    this.#host = host;
    this.#report = report;
    this.#openEvent = openEvent;
    host.replaceChildren(
      this.#answer(source, again),
      el("div", { class: "panel", id: "player" }),
      el("div", { class: "panel", id: "timeline" }),
      this.#table(),
      downloads({ report, source, options, credential }),
    );
    this.player = new Player(byId("player"), { report, clip: source.blob, moved: (time) => this.#timeline?.at(time) });
    this.#timeline = new Timeline(byId("timeline"), {
      report,
      seek: (time) => this.player.seek(time),
      openEvent,
      follow: (track) => this.player.follow(track),
    });
  }

  focus() {
    this.#host.querySelector("h2").focus();
  }

  /** Let go of the clip and of everything drawn. */
  close() {
    this.player.close();
    this.#timeline.close();
    this.#host.replaceChildren();
  }

  /** Show which event is open, or that none is. */
  mark(index) {
    this.#rows.forEach((row, at) => row.classList.toggle("open", at === index));
    this.#timeline.mark(index);
  }

  /** Go to the next event, or with -1 to the one before. */
  step(by) {
    const all = this.#buttons;
    if (all.length === 0) return;
    const here = all.indexOf(document.activeElement);
    const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : (here + by + all.length) % all.length;
    all[next].focus();
    this.player.seek(this.#report.events[next].apex_s);
  }

  #answer(source, again) {
    const report = this.#report;
    const many = report.faces.length > 1;
    return el("div", { class: "panel answer" },
      el("div", { class: "row spread" },
        el("h2", { tabindex: "-1", class: "headline" }, words.headline(report)),
        el("button", { type: "button", class: "no-print", onclick: again }, "Another clip")),
      report.events.length === 0 ? el("p", {}, silence(report)) : null,
      report.events.length > 1 ? el("ul", { class: "plain" }, ...report.events.slice(0, 6).map((event) => el("li", {}, said(event, many)))) : null,
      report.events.length > 6 ? el("p", { class: "muted" }, "The others are in the table below.") : null,
      ...report.faces.map((face) => trust(face, many)),
      report.warnings.length > 0 ? cautions(report.warnings) : null,
      el("p", { class: "muted small" }, `${source.name}: ${words.seconds(report.clip.duration_s)} s, ${report.clip.frames} pictures, ${report.clip.fps.toFixed(0)} a second, ${report.clip.width} × ${report.clip.height}, ${report.clip.codec}. Model: ${report.model.name}, version ${report.model.version}. Looked at within ${took(report)} s.`),
      el("p", { class: "notice small" }, report.notice));
  }

  #table() {
    const { events, faces } = this.#report;
    // What holds for the whole clip is said above.
    const own = ({ track_id, evidence }) =>
      evidence.reasons.filter((reason) => !faces.some((face) => face.track_id === track_id && face.evidence.reasons.includes(reason)));
    const many = faces.length > 1;
    let heads = [];
    this.#rows = events.map((event, index) => {
      const name = `${words.capital(event.kind)} ${index + 1}`;
      const open = () => this.#openEvent(index);
      const button = el("button", { type: "button", class: `chip ${event.kind}`, "aria-label": `Open event ${index + 1}: ${said(event, many)}`, onclick: open }, name);
      this.#buttons.push(button);
      const cells = [
        ...(many ? [["Face", String(event.track_id)]] : []),
        ["Looks like", [el("span", { class: `dot ${tone(event)}` }), words.labelName(event)], "time"],
        ["Onset", `${words.seconds(event.onset_s)} s`, "time"],
        ["Apex", `${words.seconds(event.apex_s)} s`, "time"],
        ["Offset", `${words.seconds(event.offset_s)} s`, "time"],
        ["Lasts", `${Math.round(1000 * (event.offset_s - event.onset_s))} ms`, "time"],
        ["Sure", `${Math.round(100 * event.confidence)} %, ${words.sureness(event)}`, event.abstained ? "" : "time"],
        ["Action units", units(event), "units"],
        ["Evidence", [grade(event.evidence.grade), ...own(event).map((reason) => el("div", { class: "small muted" }, words.sentence(reason)))]],
      ];
      heads = ["Event", ...cells.map(([head]) => head)];
      // Roles are said, since narrow screens show the rows as blocks.
      return el("tr", { role: "row" },
        el("th", { scope: "row", role: "rowheader" }, button),
        ...cells.map(([head, content, kind]) => el("td", { role: "cell", class: kind, "data-label": head }, content)));
    });
    return el("div", { class: "panel", id: "events" },
      el("h2", {}, "Events"),
      events.length > 0
        ? el("div", { class: "scroll", role: "region", "aria-label": "Table of events", tabindex: "0" },
            el("table", { role: "table" },
              el("caption", { class: "hidden-text" }, "Events of this clip; the button of a row opens the event"),
              el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads.map((head) => el("th", { scope: "col", role: "columnheader" }, head)))),
              el("tbody", { role: "rowgroup" }, ...this.#rows)))
        : el("p", {}, "None."),
      terms(),
      others(this.#report.signals ?? []));
  }
}

/** What is to be thought of an answer without events. */
function silence(report) {
  const poor = report.faces.some((face) => face.evidence.grade === "poor");
  const known = "Nothing moved that looks like an expression. That is a valid answer.";
  return poor ? "Nothing was found, but the picture is hardly good enough to be sure of that." : known;
}

/** An event as a sentence. */
function said(event, many) {
  const who = many ? `face ${event.track_id}, ` : "";
  return `${who}${words.labelName(event)}, ${words.kindName(event.kind)}, ${words.seconds(event.onset_s)} to ${words.seconds(event.offset_s)} s, ${words.sureness(event)}`;
}

function trust(face, many) {
  const { grade: level, reasons } = face.evidence;
  return el("div", { class: `trust ${level}` },
    el("p", {}, el("strong", {}, many ? `Evidence of face ${face.track_id}: ` : "Evidence: "), grade(level), " ", words.gradeSentence(level)),
    reasons.length > 0 ? el("ul", { class: "plain small" }, ...reasons.map((reason) => el("li", {}, words.sentence(reason)))) : null);
}

function cautions(warnings) {
  return el("div", { class: "trust fair" },
    el("p", {}, el("strong", {}, "Good to know")),
    el("ul", { class: "plain small" }, ...warnings.map(({ code, message }) =>
      el("li", {}, words.sentence(code) === code ? words.capital(message) : `${words.sentence(code)} (${words.capital(message)})`))));
}

const grade = (level) => el("span", { class: `grade ${level}` }, level);
const took = ({ timings_ms: times }) => (Object.values(times).reduce((sum, each) => sum + each, 0) / 1000).toFixed(1);

/** The class that gives an event its colour. */
export function tone(event) {
  const known = ["negative", "positive", "surprise"];
  return event.abstained || !known.includes(event.label) ? "other" : event.label;
}

function units(event) {
  if (event.action_units.length === 0) return "none named";
  return event.action_units.slice(0, 3).map(({ au, side }) => {
    const name = words.unitName(au);
    return `AU ${au}${name ? ` ${name}` : ""}${side === "both" ? "" : ` (${side})`}`;
  }).join(", ");
}

function terms() {
  const list = [
    ["Onset, apex, offset", "when a movement begins, is at its height, and has gone"],
    ["Micro-expression", "lasts up to half a second; a macro-expression lasts longer"],
    ["Action unit", "one of the movements that the muscles of a face can make, numbered by the Facial Action Coding System"],
    ["Left and right", "are those of the picture, not of the person"],
  ];
  return el("details", { class: "small" }, el("summary", {}, "What these words mean"),
    el("dl", { class: "card" }, ...list.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)])));
}

/** Movements that were looked at and are no events. */
function others(signals) {
  const rows = signals.flatMap(({ track_id, candidates }) =>
    candidates.filter(({ outcome }) => outcome !== "reported").map((candidate) => ({ track_id, ...candidate })));
  if (rows.length === 0) return null;
  const many = signals.length > 1;
  return el("details", { id: "candidates" },
    el("summary", {}, `${words.capital(words.counted(rows.length, "movement"))} looked at and not reported`),
    el("ul", { class: "plain small" }, ...rows.map((row) =>
      el("li", {}, `${many ? `Face ${row.track_id}, ` : ""}${words.seconds(row.onset_s)} to ${words.seconds(row.offset_s)} s: ${words.candidateSentence(row)} (${row.regions.slice(0, 2).map(words.regionName).join("; ")})`))));
}
