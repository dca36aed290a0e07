// Where clips come from: a drop, a file, a sample.

import { el } from "./dom.js";
import { getBlob } from "./service.js";
import { seconds } from "./words.js";

/** Take files that are dropped anywhere on the page, or chosen. */
export function offerFiles(zone, button, input, start) {
  const take = (file) => file && start({ name: file.name, load: async () => file });
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files[0]);
    // The same file may be chosen again.
    input.value = "";
  });
  const shown = () => zone.checkVisibility();
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.toggle("over", shown());
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (shown()) take(event.dataTransfer.files[0]);
  });
}

/** List the samples of the service; a service without any shows nothing. */
export async function offerSamples(panel, list, start, load) {
  let samples = [];
  try {
    samples = await load();
  } catch {
    return;
  }
  list.replaceChildren(
    ...samples.map((sample) => {
      const source = { name: sample.file, load: (signal) => getBlob(`/samples/${sample.file}`, signal) };
      const title = sample.name.replaceAll("_", " ").replace(/(\d+)fps/, "$1 fps");
      return el(
        "li",
        {},
        el(
          "button",
          { type: "button", onclick: () => start(source) },
          el("strong", {}, title),
          el("small", {}, `${seconds(sample.seconds)} s: ${sample.text}`),
        ),
      );
    }),
  );
  panel.hidden = samples.length === 0;
}
