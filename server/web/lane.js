// One lane of the timeline, drawn by uPlot; events lie over it as buttons, so that style sheets and screen readers know them.

import uPlot from "./vendor/uPlot.esm.js";
import { el } from "./dom.js";
import { PARTS, peakOf, seriesOf } from "./motion.js";
import { candidateSentence, kindName, labelName, seconds } from "./words.js";

const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 2]];
const HEIGHT_PX = { signals: 230, bands: 110 };
const CHIP_ROWS = 3;
const SHORTEST_SPAN_S = 0.1;
const CLICK_PX = 4;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Lane {
  #host;
  #given;
  #plot;
  #bands = [];
  #playhead = el("div", { class: "playhead" });
  #resizing;
  #zooming = false;
  time = null;

  constructor(host, given) {
    this.#host = host;
    this.#given = given;
  }

  draw() {
    this.#bands = this.#marks(this.#given.report, this.#given.signals);
    this.#build(this.#lines(false));
    this.zoom(0, this.#given.report.clip.duration_s);
    this.#resizing = new ResizeObserver(() =>
      this.#plot.setSize({ width: this.#host.clientWidth, height: this.#height() }),
    );
    this.#resizing.observe(this.#host);
  }

  redraw() {
    this.#plot.redraw(false);
  }

  /** Draw these parts of the face. */
  show(shown, { byRegion }) {
    if (!this.#given.signals) return;
    const span = this.span();
    this.#plot.destroy();
    this.#build(this.#lines(byRegion), shown);
    this.zoom(...span);
  }

  zoom(from, to) {
    const { duration_s: all } = this.#given.report.clip;
    const least = Math.min(SHORTEST_SPAN_S, all);
    const start = Math.max(0, Math.min(from, all - least));
    this.#zooming = true;
    this.#plot.setScale("x", { min: start, max: Math.min(all, Math.max(to, start + least)) });
  }

  span() {
    const { min, max } = this.#plot.scales.x;
    return [min, max];
  }

  at(time) {
    this.time = time;
    this.#placePlayhead();
  }

  mark(index) {
    for (const band of this.#bands) band.element.classList.toggle("open", band.index === index && index !== null);
  }

  close() {
    this.#resizing?.disconnect();
    this.#plot?.destroy();
  }

  #build(lines, shown = new Set(PARTS)) {
    const drawn = lines.filter(({ part }) => shown.has(part));
    this.#plot = new uPlot(this.#options(drawn), this.#data(drawn), this.#host);
    this.#plot.over.append(this.#playhead, ...this.#bands.map(({ element }) => element));
    this.#place();
    this.#listen();
  }

  #height() {
    return this.#given.signals ? HEIGHT_PX.signals : HEIGHT_PX.bands;
  }

  #lines(byRegion) {
    return this.#given.signals ? seriesOf(this.#given.signals, { byRegion }) : [];
  }

  #data(lines) {
    const { report, signals } = this.#given;
    if (lines.length === 0) return [[0, report.clip.duration_s], [null, null]];
    return [signals.times_s, ...lines.map(({ values }) => values)];
  }

  #series({ name, part }) {
    const number = Math.max(0, PARTS.indexOf(part));
    return { label: name, scale: "y", width: 1.8, dash: DASHES[number], stroke: () => colour(`--part-${number + 1}`), points: { show: false } };
  }

  #options(lines) {
    const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line") }, font: "12px system-ui, sans-serif" };
    const signals = Boolean(this.#given.signals);
    return {
      width: this.#host.clientWidth,
      height: this.#height(),
      legend: { show: false },
      padding: [8, 12, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: CLICK_PX } },
      scales: { x: { time: false }, y: { range: [0, this.#given.top] } },
      series: [{}, ...(lines.length > 0 ? lines.map((line) => this.#series(line)) : [{ scale: "y" }])],
      axes: [
        { ...axis, size: 32, values: (_, ticks) => ticks.map((tick) => `${+tick.toFixed(3)} s`) },
        signals
          ? { ...axis, size: 54, values: (_, ticks) => ticks.map((tick) => `${+tick.toFixed(1)} %`) }
          : { ...axis, size: 12, values: () => [], grid: { show: false }, ticks: { show: false } },
      ],
      hooks: {
        draw: [() => this.#place(), (plot) => this.#labelPeaks(plot)],
        setScale: [(plot, key) => key === "x" && this.#zoomed(plot)],
      },
    };
  }

  #zoomed(plot) {
    // What was asked for from outside is not told again.
    if (this.#zooming) {
      this.#zooming = false;
      return;
    }
    const { min, max } = plot.scales.x;
    if (min !== null) this.#given.zoomed(min, max);
  }

  #marks(report, signals) {
    const events = report.events
      .map((event, index) => ({ event, index }))
      .filter(({ event }) => event.track_id === this.#given.track)
      .map(({ event, index }) => ({ index, from: event.onset_s, to: event.offset_s, apex: event.apex_s, element: this.#band(event, index) }));
    const candidates = (signals?.candidates ?? [])
      .filter(({ outcome }) => outcome !== "reported")
      .map((candidate) => ({ index: null, from: candidate.onset_s, to: candidate.offset_s, element: this.#withdrawn(candidate) }));
    return [...candidates, ...events];
  }

  #band(event, index) {
    const label = `${labelName(event)}, ${kindName(event.kind)}, ${seconds(event.onset_s)} to ${seconds(event.offset_s)} s`;
    const known = ["negative", "positive", "surprise"].includes(event.label) && !event.abstained;
    return el("button", {
      type: "button",
      class: `band ${event.kind} ${known ? event.label : "other"}`,
      title: label,
      "aria-label": `Open ${label}`,
      // The table has a stop of the Tab key for each event.
      tabindex: "-1",
      onclick: () => this.#given.openEvent(index),
    }, el("span", { class: "apex" }), el("span", { class: "chip" }, `${labelName(event)} `, el("small", {}, event.kind)));
  }

  #withdrawn(candidate) {
    const words = candidateSentence(candidate);
    return el("div", { class: "band withdrawn", title: `Not reported: ${words}` }, el("span", { class: "why" }, candidate.reason.replace("-", " ")));
  }

  #place() {
    if (!this.#plot) return;
    const x = (time) => this.#plot.valToPos(time, "x");
    const width = this.#plot.over.clientWidth;
    const ends = Array(CHIP_ROWS).fill(-Infinity);
    for (const { from, to, apex, element } of this.#bands) {
      const left = Math.max(0, x(from));
      const right = Math.min(width, x(to));
      element.hidden = right <= 0 || left >= width;
      element.style.left = `${left}px`;
      element.style.width = `${Math.max(3, right - left)}px`;
      if (apex === undefined) continue;
      element.querySelector(".apex").style.left = `${x(apex) - left}px`;
      const chip = element.querySelector(".chip");
      const start = Math.min(left, width - chip.offsetWidth);
      const free = ends.findIndex((end) => end <= start);
      const row = free < 0 ? 0 : free;
      ends[row] = start + chip.offsetWidth + 4;
      chip.style.top = `${2 + 24 * row}px`;
      chip.style.left = `${start - left}px`;
    }
    this.#placePlayhead();
  }

  #placePlayhead() {
    if (this.time === null || !this.#plot) return;
    const at = this.#plot.valToPos(this.time, "x");
    this.#playhead.hidden = at < 0 || at > this.#plot.over.clientWidth;
    this.#playhead.style.transform = `translateX(${at}px)`;
  }

  #labelPeaks(plot) {
    const { report, signals, track } = this.#given;
    if (!signals) return;
    const { ctx } = plot;
    const scale = devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * scale}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.fillStyle = colour("--text");
    const { left, width } = plot.bbox;
    let taken = left;
    for (const event of report.events.filter(({ track_id }) => track_id === track)) {
      const peak = peakOf(signals, event);
      const x = plot.valToPos(event.apex_s, "x", true);
      if (!peak || x < left || x > left + width) continue;
      const y = plot.valToPos(peak.value, "y", true);
      ctx.fillRect(x - 2 * scale, y - 2 * scale, 4 * scale, 4 * scale);
      const text = `${peak.name} ${peak.value.toFixed(1)} %`;
      const wide = ctx.measureText(text).width + 6 * scale;
      // Beside its peak, on the side where there is room; where there is none, the table has it.
      const start = x + wide <= left + width ? x + 6 * scale : x - wide;
      if (start < taken) continue;
      ctx.fillText(text, start, y - 4 * scale);
      taken = start + wide;
    }
    ctx.restore();
  }

  #listen() {
    const { over } = this.#plot;
    let pressed = 0;
    over.addEventListener("mousedown", ({ clientX }) => {
      pressed = clientX;
    });
    over.addEventListener("click", ({ clientX, target }) => {
      if (Math.abs(clientX - pressed) > CLICK_PX || target.closest("button")) return;
      this.#given.seek(this.#plot.posToVal(clientX - over.getBoundingClientRect().left, "x"));
    });
    over.addEventListener("dblclick", () => this.#given.zoomed(0, this.#given.report.clip.duration_s));
  }
}
