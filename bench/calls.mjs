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
