// What is told of movements, as a list of the page and as what the timeline draws.

import { el } from "./dom.js";
import { spanWords, withdrawnSentence } from "./live_words.js";
import { capital, gradeSentence, kindName, labelName, seconds, sureness, unitName } from "./words.js";

/** Entries of the list; older ones go, but their events are kept for the download. */
const MOST_ENTRIES = 100;
const SIDES = { left: "left of the picture", right: "right of the picture", both: "both sides" };

/**
 * @param {HTMLOListElement} list newest first
 * @param {(words: string) => void} tell for screen readers; events alone
 * @param {(from: number, to: number) => boolean} isGapped whether pictures are missing between two times
 */
export function openMovements(list, tell, isGapped) {
  const movements = [];
  const events = [];
  const byKey = new Map();
  let connection = 0;

  const keyOf = (movement) => `${connection}:${movement}`;

  function show(movement) {
    movement.entry.replaceChildren(...contents(movement));
    movement.entry.className = `movement ${movement.state}`;
  }

  function begin(reply) {
    const movement = { state: "onset", onset_s: reply.onset_s, short: "…", entry: el("li") };
    byKey.set(keyOf(reply.movement), movement);
    movements.unshift(movement);
    list.prepend(movement.entry);
    if (movements.length > MOST_ENTRIES) movements.pop().entry.remove();
    return movement;
  }

  function withdraw(key, reason, until) {
    const movement = byKey.get(key);
    byKey.delete(key);
    if (!movement) return;
    Object.assign(movement, { state: "withdrawn", reason, until_s: until, short: "withdrawn" });
    show(movement);
  }

  return {
    /** Newest first. */
    movements,
    /** Events as in a report, in the order in which they were told. */
    events,

    /** Take an answer of the stream; `now` is the time of the stream's clock. */
    take(reply, now) {
      const key = keyOf(reply.movement);
      if (reply.type === "onset") {
        show(begin(reply));
      } else if (reply.type === "candidate") {
        const movement = byKey.get(key) ?? begin(reply);
        Object.assign(movement, { state: "candidate", onset_s: reply.onset_s, apex_s: reply.apex_s, short: "past its apex" });
        show(movement);
      } else if (reply.type === "event") {
        const { event } = reply;
        const movement = byKey.get(key) ?? begin({ ...reply, onset_s: event.onset_s });
        const { onset_s, apex_s, offset_s } = event;
        Object.assign(movement, { state: "event", event, onset_s, apex_s, offset_s, short: labelName(event) });
        movement.gapped = isGapped(onset_s, offset_s);
        byKey.delete(key);
        events.push(event);
        show(movement);
        tell(`${capital(kindName(event.kind))}: ${labelName(event)}, ${sureness(event)}.`);
      } else if (reply.type === "withdrawn") {
        withdraw(key, reply.reason, now);
      }
    },

    /** The connection has ended: what was under way will not be told any more. */
    broken(reason, now) {
      for (const key of [...byKey.keys()]) withdraw(key, reason, now);
      connection += 1;
    },
  };
}

function contents(movement) {
  const at = `${seconds(movement.onset_s)} s`;
  switch (movement.state) {
    case "event":
      return told(movement.event, movement.gapped);
    case "onset":
      return [el("p", {}, `Something began to move at ${at}.`)];
    case "candidate":
      return [el("p", {}, `A movement that began at ${at} has passed its strongest moment. What it is comes when it has ended.`)];
    default:
      return [el("p", {}, `Withdrawn, from ${at}: ${withdrawnSentence(movement.reason)}.`)];
  }
}

function told(event, gapped) {
  const percent = Math.round(100 * event.confidence);
  const share = el("span", { class: "share" });
  share.style.setProperty("--share", event.confidence);
  const sure = event.abstained
    ? `The model is too unsure to name it; ${event.label} would be likeliest, at ${percent} %.`
    : `${capital(sureness(event))}: ${percent} %`;
  return [
    el("h3", {},
      el("span", { class: `kind ${event.kind}` }, capital(kindName(event.kind))), " ",
      el("span", { class: `label ${event.abstained ? "other" : event.label}` }, labelName(event)),
    ),
    el("p", { class: "sure" }, el("span", { class: "bar", "aria-hidden": "true" }, share), sure),
    el("p", { class: "muted small" }, spanWords(event)),
    event.action_units.length
      ? el("ul", { class: "units", "aria-label": "Action units" }, ...event.action_units.map(unit))
      : el("p", { class: "small" }, "No action unit was named."),
    el("p", { class: "small" },
      el("strong", { class: `grade ${event.evidence.grade}` }, `Evidence: ${event.evidence.grade}. `),
      event.evidence.reasons.map((reason) => `${capital(reason)}.`).join(" ") || gradeSentence(event.evidence.grade)),
    gapped ? el("p", { class: "small" }, "Pictures are missing within it, so its times, and with them its kind, are less sure.") : null,
  ].filter((each) => each !== null);
}

function unit({ au, side }) {
  return el("li", {}, el("strong", {}, `AU ${au}`), ` ${unitName(au)}, ${SIDES[side]}`);
}
