/** What stands in an {@link ExpiryHeap}. */
export interface Expiring {
  expiresAtMs: number;
  /** Where it stands; the heap's own. */
  place: number;
}

/**
 * A binary heap by time of expiry. Each member knows its place, so that one which is renewed moves instead of leaving
 * something behind: the heap is never larger than what is in it.
 */
export class ExpiryHeap<Member extends Expiring> {
  readonly #members: Member[] = [];

  /** The one that expires first. */
  get first(): Member | undefined {
    return this.#members[0];
  }

  add(member: Member): void {
    member.place = this.#members.length;
    this.#members.push(member);
    this.#rise(member);
  }

  /** Its time of expiry has changed. */
  moved(member: Member): void {
    this.#rise(member);
    this.#sink(member);
  }

  remove(member: Member): void {
    const last = this.#members.pop();
    if (last === undefined || last === member) return;
    this.#set(member.place, last);
    this.moved(last);
  }

  /** Up to `limit` of those that expire at this time or before, the first of them first. */
  through(timeMs: number, limit: number): readonly Member[] {
    const due: Member[] = [];
    // A member expires no earlier than the one above it, so only those below members that are due need a look.
    const places = [0];
    for (const place of places) {
      const member = this.#members[place];
      if (member === undefined || member.expiresAtMs > timeMs) continue;
      due.push(member);
      if (due.length === limit) break;
      places.push(2 * place + 1, 2 * place + 2);
    }
    return due.sort((a, b) => a.expiresAtMs - b.expiresAtMs);
  }

  #rise(member: Member): void {
    while (member.place > 0) {
      const above = this.#members[(member.place - 1) >>> 1];
      if (above === undefined || above.expiresAtMs <= member.expiresAtMs) return;
      this.#swap(member, above);
    }
  }

  #sink(member: Member): void {
    for (;;) {
      const left = this.#members[2 * member.place + 1];
      const right = this.#members[2 * member.place + 2];
      const below =
        left !== undefined && right !== undefined && right.expiresAtMs < left.expiresAtMs ? right : left;
      if (below === undefined || below.expiresAtMs >= member.expiresAtMs) return;
      this.#swap(member, below);
    }
  }

  #swap(one: Member, other: Member): void {
    const { place } = one;
    this.#set(other.place, one);
    this.#set(place, other);
  }

  #set(place: number, member: Member): void {
    this.#members[place] = member;
    member.place = place;
  }
}
