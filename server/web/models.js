// What can be asked: the picker, and the card of each model in words.

import { byId, el } from "./dom.js";
import { getJson } from "./service.js";
import { capital } from "./words.js";

const PROTOCOLS = {
  "zero-shot": "real samples, none of which it was trained on",
  loso: "real samples, each person left out of training once",
  rendered: "rendered faces, none of whom it was trained on",
};
const DATA = { megc2019_flow: "SMIC and CASME II (laboratory recordings of real people)" };

export class Models {
  #credential;
  #all = [];
  #default = "";
  #error = "";

  /** @param {() => string} credential */
  constructor(credential) {
    this.#credential = credential;
  }

  /** Fill the picker. Throws the problem of the service. */
  async load(picker) {
    const answer = await getJson("/v1/models", this.#credential());
    this.#all = answer.models;
    this.#default = answer.default ?? "";
    this.#error = "";
    const usable = this.#all.filter((model) => model.servable);
    picker.replaceChildren(
      el("option", { value: "" }, this.#default ? `${this.#default} (usual)` : "the service’s own choice"),
      ...usable.filter(({ name }) => name !== this.#default).map(({ name }) => el("option", { value: name }, name)),
    );
    picker.onchange = () => this.#describe(picker.value || this.#default);
    this.#describe(this.#default);
  }

  /** What is known of a model, or null. */
  known(name) {
    return this.#all.find((model) => model.name === name) ?? null;
  }

  /** Say on the tab why there is no list. */
  failed(words) {
    this.#error = words;
    if (!byId("models").hidden) this.showAll(byId("models"));
  }

  /** All models, each with its card. */
  showAll(section) {
    section.replaceChildren(
      el("div", { class: "panel" },
        el("h1", {}, "Models"),
        el("p", { class: "muted" }, "A model names the movement that was found. All look at the same movements; they differ in what they were trained on and in how well they did where the truth is known."),
        this.#error ? el("p", { class: "callout bad" }, this.#error) : null,
        ...this.#all.map((model) =>
          el("details", { class: "model" },
            el("summary", {}, model.name, " ", el("span", { class: "muted small" }, this.#short(model))),
            card(model),
          ),
        ),
      ),
    );
  }

  #describe(name) {
    const model = this.known(name);
    byId("model-card").hidden = !model;
    byId("model-note").textContent = model ? this.#short(model) : "";
    byId("model-card-body").replaceChildren(model ? card(model) : "");
  }

  #short(model) {
    const usual = model.name === this.#default ? "the usual one; " : "";
    if (!model.servable) return `${usual}cannot be used here: ${model.reason}`;
    const real = results(model).find(({ protocol }) => protocol === "zero-shot" || protocol === "loso");
    const said = real ? `UF1 ${real.uf1.toFixed(2)} on ${real.samples} real samples` : "not measured on real samples";
    return `${usual}${model.labels.join(", ")}; ${said}`;
  }
}

const results = (model) => (model.card.results ?? []).filter(({ uf1 }) => typeof uf1 === "number");

/** The card of a model as a description list. */
function card(model) {
  const { card: known } = model;
  const rows = [
    ["Can be used", model.servable ? "yes" : `no: ${model.reason}`],
    ["Labels", model.labels.join(", ")],
    ["Versions", model.versions.join(", ")],
    ["Intended for", known.intended_use],
    ["Trained on", trained(known.training)],
    ["How good", measured(model)],
    ["Limits", known.limits ? el("ul", { class: "plain" }, ...known.limits.map((limit) => el("li", {}, limit))) : null],
    ["Input", model.recipe ? el("code", {}, model.recipe) : null],
    ["Where from", known.citation],
    ["Licence", known.licence],
  ];
  return el("dl", { class: "card" }, ...rows.flatMap(([term, value]) =>
    value ? [el("dt", {}, term), el("dd", {}, value)] : []));
}

function trained(training) {
  if (!training) return null;
  const amount = training.samples ? ` (${training.samples.toLocaleString("en")} samples)` : "";
  return `${capital(training.data)}${amount}`;
}

function measured(model) {
  const rows = results(model);
  if (rows.length === 0) return null;
  const head = ["Measured on", "Samples", "UF1", "UAR"];
  return el("div", {},
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Results of ${model.name}` },
      el("table", {},
        el("thead", {}, el("tr", {}, ...head.map((word) => el("th", { scope: "col" }, word)))),
        el("tbody", {}, ...rows.map((row) => el("tr", {},
          el("td", {}, where(row), el("br"), el("code", {}, row.command)),
          el("td", {}, String(row.samples)),
          el("td", {}, number(row.uf1)),
          el("td", {}, number(row.uar))))))),
    el("p", { class: "muted small" }, "UF1 and UAR: how well all classes are told apart, each counting the same, from 0 to 1. Guessing among three gives a UAR of 0.33."));
}

function where({ data, protocol }) {
  const source = DATA[data] ?? capital(data ?? "");
  return protocol ? `${source}: ${PROTOCOLS[protocol] ?? protocol}` : source;
}

const number = (value) => (typeof value === "number" ? value.toFixed(3) : "");
