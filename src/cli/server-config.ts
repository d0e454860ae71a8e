import { readFileSync } from 'node:fs';
import {
  clientUrl,
  type HostAndPort,
  isLoopback,
  isWildcard,
  parseHostAndPort,
  parseMember,
  parseNodeId,
  showHostAndPort,
} from '../addresses.js';
import type { FirstStart, ServerConfig } from '../config.js';
import { RaftkvError } from '../errors.js';
import { VALUE_BYTES_LIMIT } from '../kv/types.js';
import { durationMs } from './durations.js';
import { type Setting, type SettingName, settingNames, settings } from './settings.js';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
const routings = ['redirect', 'serve'] as const;
const peerAuths = ['permissive', 'required'] as const;
const firstStartNames = ['initial-cluster', 'join', 'single'] as const;

/** A year, the longest time anywhere. */
const DELAY_MS_MAX = 8760 * 60 * 60 * 1000;

/** Settings as their source gave them, by name. */
export type RawSettings = Readonly<Partial<Record<SettingName, string>>>;

/** A setting's text, and where it came from in the words of whoever gave it: `--http`, `RAFTKV_HTTP`, `http in n1.yaml`. */
interface Found {
  readonly text: string;
  readonly source: string;
}

/**
 * Merges flags, environment (`RAFTKV_…`), file and defaults, in this order of precedence, and checks the result.
 *
 * Rejects with a RaftkvError of the code `usage`, whose text has one line for each problem.
 */
export async function loadServerConfig(
  flags: RawSettings,
  environment: NodeJS.ProcessEnv,
): Promise<ServerConfig> {
  const problems: string[] = [];
  const sources = [fromFlags(flags), fromEnvironment(environment)];
  const file = sources.map((source) => source.get('config')).find((found) => found !== undefined);
  if (file !== undefined) sources.push(await fromFile(file.text, problems));
  const config = new ConfigReader(sources, problems).read();
  if (problems.length > 0) throw new RaftkvError('usage', problems.join('\n'));
  return config;
}

type Source = ReadonlyMap<SettingName, Found>;

function fromFlags(flags: RawSettings): Source {
  const found = new Map<SettingName, Found>();
  for (const name of settingNames) {
    const text = flags[name];
    if (text !== undefined) found.set(name, { text, source: `--${name}` });
  }
  return found;
}

function fromEnvironment(environment: NodeJS.ProcessEnv): Source {
  const found = new Map<SettingName, Found>();
  for (const name of settingNames) {
    const variable = environmentVariable(name);
    const text = environment[variable];
    // Compose files pass variables that are not set as empty ones.
    if (text !== undefined && text !== '') found.set(name, { text, source: variable });
  }
  return found;
}

export function environmentVariable(name: SettingName): string {
  return `RAFTKV_${name.toUpperCase().replaceAll('-', '_')}`;
}

async function fromFile(path: string, problems: string[]): Promise<Source> {
  const found = new Map<SettingName, Found>();
  let content: unknown;
  try {
    // Loaded only where there is a file to read, because a start should not wait for it.
    const { parse } = await import('yaml');
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    problems.push(`--config: ${path} cannot be read: ${reason} Correct the path or the file.`);
    return found;
  }
  // An empty file, or one of comments only.
  if (content === null) return found;
  if (typeof content !== 'object' || Array.isArray(content)) {
    problems.push(`--config: ${path} must hold "name: value" lines, such as "id: n1".`);
    return found;
  }
  for (const [key, value] of Object.entries(content)) {
    const name = settingNames.find((candidate) => candidate === key && candidate !== 'config');
    if (name === undefined) {
      const known = settingNames.filter((candidate) => candidate !== 'config').join(', ');
      problems.push(`--config: ${path} has the unknown name "${key}". Known are: ${known}.`);
      continue;
    }
    const text = textOfYaml(name, value);
    if (text === undefined) problems.push(`--config: in ${path}, "${key}" has a value of the wrong kind.`);
    else found.set(name, { text, source: `"${name}" in ${path}` });
  }
  return found;
}

const listNames: ReadonlySet<SettingName> = new Set(['join', 'allowed-host', 'cors-origin']);

/** A file may give the initial cluster as a mapping, and what is a list as one; everything else is a plain value. */
function textOfYaml(name: SettingName, value: unknown): string | undefined {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return String(value);
  if (listNames.has(name) && Array.isArray(value) && value.every((entry) => typeof entry === 'string')) {
    return value.join(',');
  }
  if (name === 'initial-cluster' && typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const entries = Object.entries(value);
    if (entries.every(([, address]) => typeof address === 'string')) {
      return entries.map(([id, address]) => `${id}=${address}`).join(',');
    }
  }
  return undefined;
}

/** Turns the merged texts into a configuration and collects what is wrong with them. */
class ConfigReader {
  private readonly sources: readonly Source[];
  private readonly problems: string[];

  constructor(sources: readonly Source[], problems: string[]) {
    this.sources = sources;
    this.problems = problems;
  }

  read(): ServerConfig {
    const id = this.required('id', parseNodeId, '');
    const dataDirectory = this.required('data-dir', (text) => (text === '' ? undefined : text), '');
    const http = this.value('http', parseHostAndPort);
    const peer = this.value('peer', parseHostAndPort);
    const advertiseHttp = this.advertised('advertise-http', 'http', http, clientUrl, (address) => {
      return `http://${showHostAndPort(address)}`;
    });
    const advertisePeer = this.advertised('advertise-peer', 'peer', peer, parsePeer, showHostAndPort);
    return {
      id,
      dataDirectory,
      http,
      peer,
      advertiseHttp,
      advertisePeer,
      ...this.peerAuth(peer),
      firstStart: this.firstStart(id, advertisePeer),
      clientRouting: this.value('client-routing', (text) => routings.find((routing) => routing === text)),
      allowedHosts: this.value('allowed-host', (text) => list(text, hostName)),
      corsOrigins: this.value('cors-origin', (text) => list(text, webOrigin)),
      logLevel: this.value('log-level', (text) => logLevels.find((level) => level === text)),
      valueBytesMax: this.value('value-bytes-max', (text) => positiveInteger(text, VALUE_BYTES_LIMIT)),
      logEntriesMax: this.value('log-entries-max', (text) => positiveInteger(text)),
      logBytesMax: this.value('log-bytes-max', (text) => positiveInteger(text)),
      upgradeDelayMs: this.value('upgrade-delay', parseDelay),
    };
  }

  private find(name: SettingName): Found | undefined {
    return this.sources.map((source) => source.get(name)).find((found) => found !== undefined);
  }

  /** A setting that has a default. What is wrong is noted, and the default stands in so that the rest is checked too. */
  private value<Value>(name: SettingName, parseText: (text: string) => Value | undefined): Value {
    const { default: defaultText }: Setting = settings[name];
    const found = this.find(name);
    if (found !== undefined) {
      const value = parseText(found.text);
      if (value !== undefined) return value;
      this.wrong(name, found);
    }
    const value = defaultText === undefined ? undefined : parseText(defaultText);
    if (value === undefined) throw new Error(`The setting ${name} has no valid default.`);
    return value;
  }

  /** A setting without a default; `substitute` stands in for it while the rest is checked. */
  private required<Value>(
    name: SettingName,
    parseText: (text: string) => Value | undefined,
    substitute: Value,
  ): Value {
    const found = this.find(name);
    if (found === undefined) {
      this.problems.push(
        `--${name} is missing: ${settings[name].expects}. Give --${name}, ${environmentVariable(name)}, or ` +
          `"${name}" in the file named by --config.`,
      );
      return substitute;
    }
    const value = parseText(found.text);
    if (value === undefined) this.wrong(name, found);
    return value ?? substitute;
  }

  private wrong(name: SettingName, found: Found): void {
    this.problems.push(
      `${found.source} is ${JSON.stringify(found.text)}, and must be ${settings[name].expects}.`,
    );
  }

  /** What others are told; the listening address unless it says otherwise. */
  private advertised(
    name: 'advertise-http' | 'advertise-peer',
    listenName: 'http' | 'peer',
    listen: HostAndPort,
    parseText: (text: string) => { readonly host: string; readonly text: string } | undefined,
    show: (address: HostAndPort) => string,
  ): string {
    const found = this.find(name);
    if (found === undefined) {
      if (isWildcard(listen.host)) {
        this.problems.push(
          `--${listenName} listens on every address (${listen.host}), which others cannot connect to. Give ` +
            `--${name}, ${settings[name].expects}.`,
        );
      }
      return show(listen);
    }
    const advertised = parseText(found.text);
    if (advertised === undefined) {
      this.wrong(name, found);
      return show(listen);
    }
    if (isWildcard(advertised.host)) {
      this.problems.push(
        `${found.source} is ${JSON.stringify(found.text)}, which others cannot connect to. Name the address that ` +
          'reaches this node from outside.',
      );
    }
    return advertised.text;
  }

  private peerAuth(peer: HostAndPort): Pick<ServerConfig, 'clusterSecretFile' | 'peerAuth'> {
    const secret = this.find('cluster-secret-file');
    const given = this.find('peer-auth');
    const insecure = this.find('insecure-peers');
    const isInsecure = insecure !== undefined && insecure.text !== 'false';
    if (isInsecure && insecure.text !== 'true') this.wrong('insecure-peers', insecure);
    if (isInsecure && secret !== undefined) {
      this.problems.push(
        `${secret.source} and ${insecure.source} exclude each other: leave out --insecure-peers, and use --peer-auth ` +
          'permissive while some members have no secret yet.',
      );
    }
    if (given !== undefined && secret === undefined) {
      this.problems.push(
        `${given.source} means nothing without a cluster secret. Give --cluster-secret-file, or leave it out.`,
      );
    }
    if (secret === undefined && !isInsecure && !isLoopback(peer.host)) {
      this.problems.push(
        `--peer listens on ${peer.host}, where anybody who reaches it could become a member or change data. Give the ` +
          'same --cluster-secret-file to all members (raftkv secret FILE makes one), or --insecure-peers where only ' +
          'members reach that address.',
      );
    }
    return {
      clusterSecretFile: secret?.text ?? null,
      peerAuth: this.value('peer-auth', (text) => peerAuths.find((one) => one === text)),
    };
  }

  /** The strongest source that says anything about the first start decides, so that sources do not contradict. */
  private firstStart(id: string, advertisePeer: string): FirstStart {
    for (const source of this.sources) {
      const given = firstStartNames.flatMap((name) => {
        const found = source.get(name);
        return found === undefined || (name === 'single' && found.text === 'false') ? [] : [{ name, found }];
      });
      const [first, second, third] = given;
      if (first === undefined) continue;
      if (first.name === 'initial-cluster' && second?.name === 'join' && third === undefined) {
        const initial = this.initialCluster(first.found, id, advertisePeer);
        return initial.kind === 'initialCluster'
          ? { ...initial, join: this.endpoints(second.found) }
          : initial;
      }
      if (second !== undefined) {
        this.problems.push(
          `${first.found.source} and ${second.found.source} exclude each other: a new cluster, a running cluster to ` +
            'join, or a cluster of one. Give one of them; only --initial-cluster and --join go together.',
        );
      }
      if (first.name === 'initial-cluster') return this.initialCluster(first.found, id, advertisePeer);
      if (first.name === 'join') return { kind: 'join', endpoints: this.endpoints(first.found) };
      if (first.found.text !== 'true') this.wrong('single', first.found);
      return { kind: 'single' };
    }
    return { kind: 'none' };
  }

  private initialCluster(found: Found, id: string, advertisePeer: string): FirstStart {
    const members: { id: string; peerAddress: string }[] = [];
    for (const part of found.text.split(',')) {
      const member = parseMember(part);
      if (member === undefined) {
        this.problems.push(
          `${found.source} has the part ${JSON.stringify(part)}; each must be ID=HOST:PORT, separated by commas.`,
        );
        return { kind: 'none' };
      }
      members.push({ id: member.id, peerAddress: member.peer });
    }
    for (const what of ['id', 'peerAddress'] as const) {
      const twice = members.find((one, index) => members.findIndex((two) => two[what] === one[what]) < index);
      if (twice === undefined) continue;
      this.problems.push(
        `${found.source} names ${twice[what]} twice; every member has its own id and address.`,
      );
      return { kind: 'none' };
    }
    if (id !== '') this.checkSelf(found, members, id, advertisePeer);
    return { kind: 'initialCluster', members };
  }

  private checkSelf(
    found: Found,
    members: readonly { id: string; peerAddress: string }[],
    id: string,
    advertisePeer: string,
  ): void {
    const self = members.find((member) => member.id === id);
    if (self === undefined) {
      this.problems.push(
        `${found.source} does not name this node, ${id}. Add ${id}=${advertisePeer}, or correct --id.`,
      );
    } else if (self.peerAddress !== advertisePeer) {
      this.problems.push(
        `${found.source} has ${id} at ${self.peerAddress}, but this node tells the others to reach it at ` +
          `${advertisePeer}. Make them equal, with --advertise-peer or --peer.`,
      );
    }
  }

  /** The client URLs of a running cluster. */
  private endpoints(found: Found): readonly string[] {
    const endpoints: string[] = [];
    for (const part of found.text.split(',')) {
      const endpoint = clientUrl(part.trim());
      if (endpoint === undefined) this.wrong('join', { ...found, text: part });
      else endpoints.push(endpoint.text);
    }
    return endpoints;
  }
}

function parsePeer(text: string): { readonly host: string; readonly text: string } | undefined {
  const address = parseHostAndPort(text);
  return address === undefined ? undefined : { host: address.host, text: showHostAndPort(address) };
}

/** Milliseconds. */
function parseDelay(text: string): number | undefined {
  const milliseconds = durationMs(text);
  return milliseconds <= DELAY_MS_MAX ? milliseconds : undefined;
}

/** The parts of a list; undefined where one of them is wrong. */
function list(text: string, parsePart: (text: string) => string | undefined): readonly string[] | undefined {
  const parts = text === '' ? [] : text.split(',').map((part) => parsePart(part.trim()));
  const known = parts.filter((part) => part !== undefined);
  return known.length === parts.length ? known : undefined;
}

function hostName(text: string): string | undefined {
  return /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(text) ? text.toLowerCase() : undefined;
}

/** As browsers write it: without a path, and without a port that the scheme implies. */
function webOrigin(text: string): string | undefined {
  if (!/^https?:\/\/[^/?#@*\s]+\/?$/i.test(text) || !URL.canParse(text)) return undefined;
  return new URL(text).origin;
}

function positiveInteger(text: string, maximum = Number.MAX_SAFE_INTEGER): number | undefined {
  const value = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  return value <= maximum ? value : undefined;
}
