/** The media type of a value that was put without one. */
export const contentTypeDefault = 'application/octet-stream';

/** What a media type looks like, as a JSON Schema and a regular expression write it. */
export const mediaTypePattern =
  "^[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \\t]*(;[\\x20-\\x7e\\t]*)?$";

/** The media type as it is kept with a value: '' stands for the default. */
export function keptContentType(contentType: string | undefined): string {
  return contentType === undefined || contentType === contentTypeDefault ? '' : contentType;
}
