// The live tab: a camera, or a sample as if it were one, watched while it runs. Nothing is recorded.

import { announce, el } from "./dom.js";
import { canEncode } from "./live_encoder.js";
import { endFigures } from "./live_figures.js";
import { openRun } from "./live_run.js";
import { cameras, canReachCameras, openCamera, openSample } from "./live_source.js";
import { openTimeline } from "./live_timeline.js";
import { buildView, showFigures } from "./live_view.js";
import { problemWords } from "./live_words.js";
import { capital, counted } from "./words.js";

/**
 * Show the live tab in `container`.
 *
 * @param {Element} container
 * @param {{credential: () => string}} page gives the key, or ""
 */
export function mountLive(container, { credential }) {
  const view = buildView(container);
  const timeline = openTimeline(view.timeline);
  let samples = [];
  let run = null;

  const chosen = () => new FormData(view.form).get("live-from");

  function showChoice() {
    const camera = chosen() === "camera";
    view.cameraFields.hidden = view.consent.hidden = !camera;
    view.sampleFields.hidden = camera;
    view.start.textContent = camera ? "Start the camera" : "Play the sample";
    const sample = samples.find((each) => each.file === view.sample.value);
    view.sampleText.textContent = sample ? `${capital(sample.text)}. Made from one public-domain portrait (NASA).` : "";
  }

  async function listCameras() {
    const before = view.camera.value;
    const found = await cameras().catch(() => []);
    view.camera.replaceChildren(
      el("option", { value: "" }, "the browser’s choice"),
      ...found
        .filter((camera) => camera.deviceId)
        .map((camera, at) => el("option", { value: camera.deviceId }, camera.label || `camera ${at + 1}`)),
    );
    if (found.some((camera) => camera.deviceId === before)) view.camera.value = before;
  }

  async function listSamples() {
    const answer = await fetch("/samples").catch(() => null);
    samples = answer?.ok ? await answer.json() : [];
    view.sample.replaceChildren(
      ...samples.map(({ name, file, seconds }) => {
        const title = name.replaceAll("_", " ").replace(/(\d+)fps/, "$1 fps");
        return el("option", { value: file }, `${title}, ${seconds.toFixed(1)} s`);
      }),
    );
    showChoice();
  }

  function fail(problem) {
    const { title, text, detail } = problemWords(problem);
    view.problem.replaceChildren(
      el("h2", {}, title),
      el("p", {}, text),
      ...(detail ? [el("p", { class: "muted small" }, detail)] : []),
    );
    view.problem.hidden = false;
  }

  /** A source by what is chosen; throws a problem. */
  async function openSource() {
    if (!canEncode()) throw { code: "no-encoder" };
    if (chosen() === "sample") {
      if (!view.sample.value) throw { code: "no-samples" };
      return openSample(view.video, `/samples/${view.sample.value}`, Number(view.speed.value)).catch(() => {
        throw { code: "unplayable" };
      });
    }
    if (!canReachCameras()) throw { code: "insecure-origin" };
    const [width, height] = view.size.value.split("x").map(Number);
    const wish = { deviceId: view.camera.value, width, height, frameRate: Number(view.rate.value) };
    return openCamera(view.video, wish).catch((error) => {
      throw { code: error.name, message: error.message };
    });
  }

  async function start() {
    view.problem.hidden = view.summary.hidden = true;
    if (chosen() === "camera" && !view.agree.checked) {
      view.agree.setAttribute("aria-invalid", "true");
      view.agree.focus();
      announce("Please agree first.");
      return;
    }
    view.start.disabled = true;
    try {
      const source = await openSource();
      run = openRun({ view, timeline, source, credential, faces: view.faces.value, over });
    } catch (problem) {
      fail(problem);
      view.start.focus();
    } finally {
      view.start.disabled = false;
    }
    if (run) void listCameras();
  }

  function over(problem, stats, { kind, counts, events, saveEvents }) {
    run = null;
    const found = `${capital(counted(events.length, "event"))} found.`;
    if (problem) fail(problem);
    else announce(`Stopped. ${found}`);
    const figures = el("dl", { class: "figures" });
    if (stats) showFigures(figures, endFigures(stats, counts));
    view.summary.replaceChildren(
      el("h2", {}, `The stream has ended. ${found}`),
      el("p", { class: "muted" }, `${kind === "camera" ? "The camera is off. " : ""}No picture was kept; the events below go when the page is closed, or when you start again.`),
      figures,
    );
    view.summary.hidden = counts.seen === 0 && !stats;
    view.save.onclick = saveEvents;
    view.form.hidden = false;
    if (view.summary.hidden) view.start.focus();
    else view.summary.focus();
  }

  view.form.addEventListener("change", (event) => {
    if (event.target === view.agree) view.agree.removeAttribute("aria-invalid");
    showChoice();
  });
  view.form.addEventListener("submit", (event) => {
    event.preventDefault();
    void start();
  });
  view.stop.addEventListener("click", () => run?.stop());
  // A camera that nobody sees the pictures of must not go on.
  window.addEventListener("pagehide", () => run?.stop());
  new MutationObserver(() => container.hidden && run?.stop()).observe(container, { attributeFilter: ["hidden"] });
  window.addEventListener("themechange", () => {
    timeline.recolour();
    run?.redraw();
  });
  navigator.mediaDevices?.addEventListener("devicechange", () => void listCameras());
  void listCameras();
  void listSamples();
  showChoice();
}
