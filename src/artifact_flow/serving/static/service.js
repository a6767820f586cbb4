// Service: send requests to the API. Every failure is a Refusal with one sentence.

import { find } from "./elements.js";

const TIMEOUT = 30_000; // milliseconds
const KEY = "artifact-flow-key"; // in the tab's session storage, which is deleted with the tab

/** A failure with a sentence that the page shows. */
export class Refusal extends Error {}

/** Return whether the service has asked for a key. */
export const isLocked = () => Boolean(sessionStorage.getItem(KEY));

let entering = null; // resolves when a key is entered; shared by all waiting requests

/** Return the JSON response of a path; ask the user for the API key if the service requires one. */
export async function ask(path, options = {}) {
  for (;;) {
    const response = await send(path, options);
    const document = await read(response);
    if (response.ok) return document;
    const sentence = document?.detail ?? `the service answered ${response.status} without a reason.`;
    if (response.status !== 401) throw new Refusal(sentence);
    entering ??= enterKey(sentence);
    await entering;
  }
}

async function send(path, { method = "GET", body, type }) {
  const headers = new Headers(type ? { "Content-Type": type } : {});
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("X-API-Key", key);
  try {
    return await fetch(path, { method, body, headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
  } catch (error) {
    throw lost(error);
  }
}

async function read(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error instanceof SyntaxError) return null; // the response is a proxy's page, not the service's JSON
    throw lost(error);
  }
}

function lost(error) {
  const late = error.name === "TimeoutError";
  return new Refusal(late ? `no response arrived within ${TIMEOUT / 1000} s.` : "the service cannot be reached: is it running?");
}

function enterKey(sentence) {
  const form = find("key");
  const input = find("key-value");
  form.hidden = false;
  find("key-reason").textContent = sentence;
  input.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (!/^[!-~]+$/.test(key)) return void (find("key-reason").textContent = "a key consists of letters, digits and punctuation.");
      sessionStorage.setItem(KEY, key);
      form.hidden = true;
      input.value = "";
      entering = null;
      resolve();
    };
  });
}
