/**
 * The largest group of members that have a key in common, in their order; of equally large groups the one whose first member comes
 * first. Where places for nodes that nobody knows run out, somebody in the largest group loses one: whoever takes many of them takes
 * them from itself.
 */
export function largestGroup<Member>(
  members: Iterable<Member>,
  keyOf: (member: Member) => unknown,
): readonly Member[] {
  const groups = new Map<unknown, Member[]>();
  for (const member of members) {
    const key = keyOf(member);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [member]);
    else group.push(member);
  }
  let largest: readonly Member[] = [];
  for (const group of groups.values()) if (group.length > largest.length) largest = group;
  return largest;
}
