// The timeline: what each part of a face did over the clip, and the events in it; one lane for each face.

import { el } from "./dom.js";
import { Lane } from "./lane.js";
import { PARTS, top } from "./motion.js";

export class Timeline {
  #lanes = [];
  #shown = new Set(PARTS);
  #report;
  #stopping = new AbortController();
  #byRegion = false;

  /**
   * @param {HTMLElement} panel
   * @param {{report: object, seek: (time: number) => void, openEvent: (index: number) => void,
   *   follow: (track: number) => void}} with_
   */
  constructor(panel, { report, seek, openEvent, follow }) {
    this.#report = report;
    const signals = report.signals ?? [];
    const most = top(signals);
    const hosts = report.faces.map((face) => {
      const host = el("div", { class: "lane", role: "group", "aria-label": laneName(face, report) });
      this.#lanes.push(
        new Lane(host, {
          report,
          track: face.track_id,
          signals: signals.find(({ track_id }) => track_id === face.track_id),
          top: most,
          seek: (time) => {
            follow(face.track_id);
            seek(time);
          },
          openEvent,
          zoomed: (from, to) => this.#zoom(from, to),
        }),
      );
      return el("div", {}, report.faces.length > 1 ? el("h3", {}, `Face ${face.track_id}`) : null, host);
    });
    panel.replaceChildren(
      el("div", { class: "row spread" }, el("h2", {}, "Timeline"), this.#zoomButtons()),
      el("p", { class: "muted small" }, signals.length > 0
        ? "How far each part of the face is from rest, in percent of the distance between the eyes. Coloured bands are events; dashed ones were looked at and not reported. Drag to zoom, click to go there. The table below says the same in words."
        : "Coloured bands are events. Drag to zoom, click to go there. The table below says the same in words."),
      ...(signals.length > 0 ? [this.#legend()] : []),
      ...hosts,
    );
    // A canvas has no size before its panel is in the page.
    const { signal } = this.#stopping;
    for (const lane of this.#lanes) lane.draw();
    window.addEventListener("themechange", () => this.#lanes.forEach((lane) => lane.redraw()), { signal });
  }

  /** Move the mark of the player. */
  at(time) {
    for (const lane of this.#lanes) lane.at(time);
  }

  /** Show which event is open. */
  mark(index) {
    for (const lane of this.#lanes) lane.mark(index);
  }

  close() {
    this.#stopping.abort();
    for (const lane of this.#lanes) lane.close();
  }

  #zoom(from, to) {
    for (const lane of this.#lanes) lane.zoom(from, to);
  }

  #zoomButtons() {
    const by = (factor) => () => {
      const [from, to] = this.#lanes[0].span();
      const middle = this.#lanes[0].time ?? (from + to) / 2;
      const centre = middle >= from && middle <= to ? middle : (from + to) / 2;
      const half = Math.min((to - from) * factor, this.#report.clip.duration_s) / 2;
      const start = Math.max(0, Math.min(centre - half, this.#report.clip.duration_s - 2 * half));
      this.#zoom(start, start + 2 * half);
    };
    const whole = () => this.#zoom(0, this.#report.clip.duration_s);
    return el("div", { class: "row no-print" },
      ...[["Zoom in", by(0.5)], ["Zoom out", by(2)], ["Whole clip", whole]].map(([name, run]) =>
        el("button", { type: "button", class: "small", onclick: run }, name)));
  }

  #legend() {
    const toggle = (part) => (event) => {
      const on = !this.#shown.has(part);
      if (on) this.#shown.add(part);
      else this.#shown.delete(part);
      event.currentTarget.setAttribute("aria-pressed", String(on));
      this.#redraw();
    };
    const regions = el("input", { type: "checkbox", id: "by-region", onchange: () => {
      this.#byRegion = regions.checked;
      this.#redraw();
    } });
    return el("div", { class: "row legend no-print" },
      ...PARTS.map((part, index) =>
        el("button", { type: "button", class: "small", "aria-pressed": "true", onclick: toggle(part) },
          el("span", { class: `line part-${index + 1}`, "aria-hidden": "true" }), part)),
      el("label", { class: "small" }, regions, " each region by itself"));
  }

  #redraw() {
    for (const lane of this.#lanes) lane.show(this.#shown, { byRegion: this.#byRegion });
  }
}

function laneName(face, report) {
  const events = report.events.filter(({ track_id }) => track_id === face.track_id).length;
  return `Timeline of face ${face.track_id}, with ${events} events, which the table lists`;
}
