/** A byte that stands in no request but for what is to be filled in. */
const PLACEHOLDER = '~';

/** Holds a place of so many characters in the path or in a header of a request. */
export const slotOf = (length) => PLACEHOLDER.repeat(length);

/**
 * Lets some of a client's requests differ each time: a request with `slot: { length, text }`, of which path or a header holds
 * `slotOf(length)`, is sent with what `text()` returns there, always of that length. It is written into the bytes that
 * were prepared: to build each request anew costs the load generator as much as sending it, and is taken from what it measures.
 * There must be one request in flight on a connection, or one that is not sent yet would be overwritten.
 *
 * @param {object} client of autocannon, whose requests were set; no other client may have the same request objects
 */
export function fillSlots(client) {
  const placeOf = new Map();
  for (const request of client.requestIterator.requests) {
    if (request.slot === undefined) continue;
    const place = request.requestBuffer.indexOf(slotOf(request.slot.length));
    if (place === -1) throw new Error(`${request.method} ${request.path} holds no place for its slot.`);
    placeOf.set(request, place);
  }
  if (placeOf.size === 0) return;
  client.getRequestBuffer = () => {
    const { currentRequest } = client.requestIterator;
    const { slot, requestBuffer } = currentRequest;
    if (slot === undefined) return requestBuffer;
    const text = slot.text();
    if (text.length !== slot.length) throw new Error(`"${text}" is not ${slot.length} characters long.`);
    requestBuffer.latin1Write(text, placeOf.get(currentRequest));
    return requestBuffer;
  };
}
