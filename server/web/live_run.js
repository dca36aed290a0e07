// One run of the live tab as the reader sees it: state, face, motion, movements, figures.

import { announce, save } from "./dom.js";
import { brightnessOf, judge } from "./live_face.js";
import { openDelays, openRate, runningFigures } from "./live_figures.js";
import { openMotion } from "./live_motion.js";
import { openMovements } from "./live_movements.js";
import { clearFaces, drawFaces } from "./live_overlay.js";
import { openSession } from "./live_session.js";
import { showFigures } from "./live_view.js";
import { behindWords, faceSentence, lostWords, rateWords, slowerThanSaid } from "./live_words.js";

const STILL = matchMedia("(prefers-reduced-motion: reduce)");
/** With reduced motion the timeline moves on in steps. */
const STEP_MS = 1000;
const FIGURES_MS = 500;
/** Answers later than this do not fit the preview any more. */
const BEHIND_MS = 400;
/** A state of the face is shown, and one that is bad is told to screen readers, when it has lasted for so long. */
const SHOWN_AFTER_MS = 400;
const TOLD_AFTER_MS = 4000;
/** Announced as the rate of a sample: the browser tells no clip's own. */
const SAMPLE_FPS = 60;
const GRADES = ["good", "fair", "poor"];

/**
 * One run, from the first picture to the statistics.
 *
 * @param {object} how
 * @param {object} how.view of live_view.js
 * @param {object} how.timeline of live_timeline.js
 * @param {object} how.source of live_source.js, which shows in `view.video`
 * @param {() => string} how.credential
 * @param {"largest"|"all"} how.faces
 * @param {(problem: object|null, stats: object|null, run: object) => void} how.over once; `run` has `kind`
 *   of the source, `counts`, `events` and `saveEvents`
 */
export function openRun({ view, timeline, source, credential, faces, over }) {
  const rate = openRate();
  const delays = openDelays();
  const movements = openMovements(view.movements, announce, (from, to) => motion.isGapped(from, to));
  let motion = null;
  let regions = [];
  let newest = { time: 0, at: performance.now() };
  let state = "connecting";
  let judged = { code: "", since: 0, shown: false, told: false };
  let hiddenAt = 0;
  let drawing = 0;

  view.movements.replaceChildren();
  view.nothing.hidden = false;
  view.save.disabled = true;
  view.form.hidden = true;
  view.gap.hidden = view.behind.hidden = true;
  for (const panel of [view.running, view.motion, view.seen]) panel.hidden = false;
  view.face.textContent = view.rateSays.textContent = "";
  timeline.recolour();
  view.stop.focus();

  function saveEvents() {
    const lines = movements.events.map((event) => `${JSON.stringify(event)}\n`);
    save(new Blob(lines, { type: "application/x-ndjson" }), "glimpse-live.jsonl");
  }
  view.save.onclick = saveEvents;

  const session = openSession({
    video: view.video,
    source,
    options: { faces, motion: true, frame_rate: Math.round(source.announcedFps) || SAMPLE_FPS },
    key: credential,
    on: {
      state: showState,
      picture: rate.add,
      reply: take,
      lost(unanswered) {
        movements.broken("connection-lost", newest.time);
        say(view.gap, 1, lostWords(unanswered));
        announce("The connection broke. Trying again.");
      },
      over(problem, stats) {
        movements.broken("stream-ended", newest.time);
        cancelAnimationFrame(drawing);
        clearInterval(ticking);
        document.removeEventListener("visibilitychange", seen);
        redraw();
        clearFaces(view.overlay);
        view.running.hidden = true;
        over(problem, stats, { kind: source.kind, counts: session.counts, events: movements.events, saveEvents });
      },
    },
  });

  function take(reply, delayMs) {
    if (reply.type === "opened") {
      regions = reply.regions;
      motion = openMotion(regions);
    } else if (reply.type === "frame_result") {
      if (delayMs !== null) delays.add(delayMs);
      newest = { time: reply.time_s, at: performance.now() };
      const [face] = reply.faces;
      if (face?.motion_iod.length) motion.add(reply.time_s, face);
      drawFaces(view.overlay, view.video, reply.faces, regions, face ? (motion.samples.at(-1)?.sizes ?? null) : null);
      judgeFaces(reply.faces);
    } else {
      movements.take(reply, newest.time);
      view.nothing.hidden = movements.movements.length > 0;
      view.save.disabled = movements.events.length === 0;
    }
  }

  let brightness = null;
  let brightAt = 0;
  function judgeFaces(found) {
    const now = performance.now();
    if (now - brightAt > FIGURES_MS) {
      brightAt = now;
      brightness = brightnessOf(view.video, found[0]);
    }
    const { code, level } = judge(found, brightness);
    if (code !== judged.code) judged = { code, since: now, shown: false, told: false };
    if (!judged.shown && now - judged.since >= SHOWN_AFTER_MS) {
      judged.shown = true;
      say(view.face, level, faceSentence(code));
    }
    if (level === 2 && !judged.told && now - judged.since >= TOLD_AFTER_MS) {
      judged.told = true;
      announce(faceSentence(code));
    }
  }

  function showState(name, detail) {
    state = name;
    const words = {
      connecting: "Connecting",
      running: `Live from the ${source.kind}`,
      away: detail && `Connection lost. Trying again in ${Math.ceil(detail.pauseS)} s`,
      ending: "Ending",
    };
    view.status.dataset.state = name;
    view.status.textContent = words[name];
    view.stop.disabled = name === "ending";
  }

  function tick() {
    const { fps } = rate;
    if (fps !== null && state === "running" && !document.hidden) {
      const { level, text } = rateWords(fps);
      say(view.rateSays, level, text + slowerThanSaid(fps, source.announcedFps));
    }
    const delay = delays.median;
    view.behind.hidden = delay === null || delay < BEHIND_MS;
    if (!view.behind.hidden) say(view.behind, 1, behindWords(delay));
    const size = `${view.video.videoWidth} × ${view.video.videoHeight}`;
    const figures = { counts: session.counts, rate, delay, size, announced: source.announcedFps };
    showFigures(view.figures, runningFigures(figures));
  }

  function redraw() {
    const since = STILL.matches || state !== "running" ? 0 : (performance.now() - newest.at) / 1000;
    timeline.draw(motion?.samples ?? [], movements.movements, newest.time + Math.min(since, 1));
  }

  let drawnAt = 0;
  function draw(now) {
    drawing = requestAnimationFrame(draw);
    if (STILL.matches && now - drawnAt < STEP_MS) return;
    drawnAt = now;
    redraw();
  }

  // Browsers give a hidden tab no pictures.
  function seen() {
    if (document.hidden) {
      hiddenAt = performance.now();
    } else if (hiddenAt) {
      const gone = Math.round((performance.now() - hiddenAt) / 1000);
      say(view.gap, 1, `This tab was hidden for ${gone} s. The browser gives no pictures then, so nothing was seen meanwhile.`);
    }
  }

  document.addEventListener("visibilitychange", seen);
  const ticking = setInterval(tick, FIGURES_MS);
  drawing = requestAnimationFrame(draw);
  return { stop: session.stop, redraw };
}

function say(paragraph, level, words) {
  paragraph.hidden = false;
  paragraph.className = `says ${GRADES[level]}`;
  paragraph.textContent = words;
}
