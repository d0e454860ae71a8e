/** Control and format characters, which could steer a terminal or forge a line of a log, and lone surrogates. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Text from elsewhere as it may be shown in one line: at most `lengthMax` characters, with marks in place of control characters. */
export function printable(text: string, lengthMax = Number.POSITIVE_INFINITY): string {
  const shown = text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text;
  return shown.replace(unprintable, '\uFFFD');
}

/** The same for text of several lines, whose line feeds and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(/[^\n\t]+/g, (part) => printable(part));
}
