// Calls of the service. Whatever goes wrong is thrown as a problem: an object with a `code` that words.js knows.

import { EventStream } from "./event_stream.js";

const headersFor = (credential) => (credential ? { Authorization: `Bearer ${credential}` } : {});

/** The problem document of an answer that is none; without one, what its status says. */
function problemOf(status, text, retryAfter) {
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    problem = { code: "unreachable", detail: status ? `the answer had status ${status}` : "" };
  }
  return { retry_after_s: Number(retryAfter ?? 0), ...problem };
}

const unreachable = () => ({ code: "unreachable", retryable: true });

/** JSON of an address. */
export async function getJson(path, credential) {
  const answer = await ask(path, { headers: headersFor(credential) });
  return answer.json();
}

/** A blob of an address of this service, such as a sample. */
export async function getBlob(path, signal) {
  const answer = await ask(path, { signal });
  return answer.blob();
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw error.name === "AbortError" ? { code: "cancelled" } : unreachable();
  }
  if (!answer.ok) throw problemOf(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return answer;
}

/** A report that the page has, in another form. */
export async function render(report, accept, options, credential) {
  const query = new URLSearchParams(options).toString();
  const answer = await ask(`/v1/render${query ? `?${query}` : ""}`, {
    method: "POST",
    headers: { ...headersFor(credential), "Content-Type": "application/json", Accept: accept },
    body: JSON.stringify(report),
  });
  return answer.blob();
}

/** The clip again, with what was found drawn into it. */
export async function annotate(clip, name, options, credential) {
  const answer = await ask("/v1/analyze", {
    method: "POST",
    headers: { ...headersFor(credential), Accept: "video/mp4" },
    body: form(clip, name, options),
  });
  return answer.blob();
}

function form(clip, name, options) {
  const body = new FormData();
  for (const [option, value] of Object.entries(options)) body.append(option, value);
  body.append("clip", clip, name);
  return body;
}

/**
 * Analyse a clip. Progress is `{stage, done, total}`; `upload` is counted in bytes.
 *
 * A request of the older kind, since `fetch` does not tell how much of a body was sent.
 */
export function analyze(clip, name, { options, credential, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stream = new EventStream((event, data) => {
      if (event === "progress") onProgress(JSON.parse(data));
      else if (event === "report") resolve(JSON.parse(data));
      else if (event === "problem") reject(JSON.parse(data));
    });
    const cancel = () => request.abort();
    request.open("POST", "/v1/analyze");
    request.setRequestHeader("Accept", "text/event-stream");
    for (const [header, value] of Object.entries(headersFor(credential))) request.setRequestHeader(header, value);
    request.upload.addEventListener("progress", ({ loaded, total }) =>
      onProgress({ stage: "upload", done: loaded, total }),
    );
    request.addEventListener("progress", () => request.status === 200 && stream.take(request.responseText));
    request.addEventListener("load", () => {
      if (request.status === 200) {
        stream.take(request.responseText);
        reject(unreachable());
      } else reject(problemOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    });
    request.addEventListener("error", () => reject(unreachable()));
    request.addEventListener("abort", () => reject({ code: "cancelled" }));
    request.addEventListener("loadend", () => signal.removeEventListener("abort", cancel));
    if (signal.aborted) {
      reject({ code: "cancelled" });
      return;
    }
    signal.addEventListener("abort", cancel);
    request.send(form(clip, name, options));
  });
}
