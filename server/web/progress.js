// How far the analysis is: one line for each stage, as they come.

import { announce, byId, el } from "./dom.js";
import { stageName } from "./words.js";

const ORDER = ["upload", "decode", "faces", "spotting", "flow", "inference"];

export class Progress {
  #panel;
  #lines = new Map();
  #now = "";

  /** @param {HTMLElement} panel */
  constructor(panel) {
    this.#panel = panel;
  }

  /** @param {string} name of the clip */
  begin(name) {
    byId("working-title").textContent = `Looking at ${name}`;
    this.#lines = new Map(ORDER.map((stage) => [stage, this.#line(stage)]));
    this.#now = "";
    byId("stages").replaceChildren(...this.#lines.values());
    this.#panel.hidden = false;
    byId("working-title").focus();
    this.tell({ stage: "upload", done: 0, total: 0 });
  }

  /** @param {{stage: string, done: number, total: number}} step */
  tell({ stage, done, total }) {
    if (!this.#lines.has(stage)) {
      this.#lines.set(stage, this.#line(stage));
      byId("stages").append(this.#lines.get(stage));
    }
    // A clip is opened twice: to follow the face, and for the pictures of each event.
    if (stage !== this.#now && !this.#lines.get(stage).classList.contains("done")) this.#enter(stage);
    const bar = this.#lines.get(stage).querySelector("progress");
    bar.hidden = total <= 1 || done >= total;
    if (total > 0) {
      bar.max = total;
      bar.value = done;
    }
  }

  end() {
    this.#panel.hidden = true;
  }

  #enter(stage) {
    this.#now = stage;
    for (const [name, line] of this.#lines) {
      if (name === stage) break;
      line.className = "done";
      line.querySelector("progress").hidden = true;
    }
    this.#lines.get(stage).className = "now";
    announce(stageName(stage));
  }

  #line(stage) {
    return el("li", {}, el("span", {}, stageName(stage)), el("progress", { "aria-label": stageName(stage), hidden: true }));
  }
}
