/** What names and addresses look like, wherever they come from: command line, HTTP, peers, disk. */

/** What a member's name may look like: it stands in URLs, in file names and on command lines. */
export const nodeIdPattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$';
/** The random id of a data directory; '' where it is not known yet. */
export const incarnationPattern = '^[A-Za-z0-9_-]{0,64}$';
/** What a node makes at random or computes as a hash: the id of a cluster, the incarnation of a peer. */
export const opaqueIdPattern = '^[A-Za-z0-9._-]{1,64}$';
/** `host:port`; a literal IPv6 address stands in brackets. */
export const hostAndPortPattern = '^([A-Za-z0-9._-]{1,253}|\\[[0-9A-Fa-f:.]{2,45}\\]):([0-9]{1,5})$';
/** Where clients reach a node; without a path, and without a slash at the end. */
export const clientUrlPattern = '^https?://([A-Za-z0-9._-]{1,253}|\\[[0-9A-Fa-f:.]{2,45}\\])(:[0-9]{1,5})?$';
