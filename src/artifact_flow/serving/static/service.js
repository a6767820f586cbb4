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
export const ask = (path, options = {}) => answer(path, options, readJson);

/** Return the response of a path as text, in the same way. */
export const askText = (path) => answer(path, {}, (response) => response.text());

/** Call `act`; on failure call `refuse` with a sentence, and log a failure that is not a Refusal. */
export async function attempt(act, refuse) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Refusal)) console.error(error);
    refuse(error instanceof Refusal ? error.message : `the page failed: ${error.message}`);
  }
}

async function answer(path, options, readBody) {
  for (;;) {
    const response = await send(path, options);
    const content = await read(response, response.ok ? readBody : readJson);
    if (response.ok) return content;
    const sentence = content?.detail ?? `the service answered ${response.status} without a reason.`;
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

async function read(response, readBody) {
  try {
    return await readBody(response);
  } catch (error) {
    throw lost(error);
  }
}

async function readJson(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return null; // the response is a proxy's page, not the service's JSON
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
