import { setTimeout as sleep } from 'node:timers/promises';

const ATTEMPTS_MAX = 20;
const ATTEMPT_EVERY_MS = 500;

/** Makes one request, and gives the body of the answer; throws when it was refused. */
export async function call(url, { method, path, headers = {}, body }) {
  // Answers are not compressed, because not all of the measured systems can.
  const answer = await fetch(url + path, {
    method,
    headers: { 'accept-encoding': 'identity', ...headers },
    body,
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
  return text;
}

/**
 * Makes a request that may be repeated, until it is done or has failed often: where no time is measured, a change of leader,
 * which a busy machine may bring, is no reason to give up.
 */
export async function callAgain(urlOf, request) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call(await urlOf(), request);
    } catch (error) {
      if (attempt === ATTEMPTS_MAX) throw error;
      await sleep(ATTEMPT_EVERY_MS);
    }
  }
}

/** Does a task for each of the numbers from 0 to below `count`, so many at a time. */
export async function concurrently(count, tasksInFlight, task) {
  let next = 0;
  const work = async () => {
    while (next < count) {
      const number = next;
      next += 1;
      await task(number);
    }
  };
  await Promise.all(Array.from({ length: tasksInFlight }, work));
}
