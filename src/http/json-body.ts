import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { FromSchema, JSONSchema } from 'json-schema-to-ts';
import { RaftkvError } from '../errors.js';

/**
 * A kind of request body: its JSON Schema checks what comes, is what `/openapi.json` shows, and gives the type of what was
 * checked, so that these three cannot differ.
 */
export interface JsonBody<Value> {
  readonly schema: JSONSchema;
  /** Gives back what fits. Throws `bad_request` that names the first thing which does not. */
  check(body: unknown): Value;
}

let ajv: Ajv2020 | undefined;
/** How to compile each schema that there is. */
const compilers: (() => void)[] = [];

/** Compiles all schemas. Together they take some 10 ms, which are taken before anybody is served. */
export function compileBodies(): void {
  for (const compile of compilers) compile();
}

/** @param example A body that fits, for the error's text. */
export function jsonBody<const Schema extends JSONSchema>(
  schema: Schema,
  example: string,
): JsonBody<FromSchema<Schema>> {
  let compiled: ValidateFunction | undefined;
  const compile = (): ValidateFunction => {
    // A test checks the schemas themselves; here that would take 40 ms more of the event loop.
    ajv ??= new Ajv2020({ verbose: true, allowUnionTypes: true, meta: false, validateSchema: false });
    compiled ??= ajv.compile(schema as object);
    return compiled;
  };
  compilers.push(compile);
  return {
    schema,
    check(body) {
      const validate = compile();
      // What the schema says is what the type says: both come from the same words.
      if (validate(body)) return body as FromSchema<Schema>;
      const [first] = validate.errors ?? [];
      throw new RaftkvError(
        'bad_request',
        `The body does not fit: ${first === undefined ? 'it is wrong' : reason(first)}. Send JSON such as ${example}.`,
      );
    },
  };
}

function reason(error: ErrorObject): string {
  const place = nameOf(error.instancePath);
  switch (error.keyword) {
    case 'additionalProperties':
      return `the member ${JSON.stringify(error.params['additionalProperty'])} is not known${place === '' ? '' : ` in ${place}`}`;
    case 'required': {
      const name: string = error.params['missingProperty'];
      const missing = nameOf(`${error.instancePath}/${name}`);
      return `${missing} is missing${colon(describe(error.parentSchema?.['properties']?.[name]))}`;
    }
    default: {
      const what = describe(error.parentSchema);
      if (place === '')
        return error.keyword === 'type' ? 'it is not an object' : (what ?? `it ${error.message}`);
      return what === undefined ? `${place} ${error.message}` : `${place} must be ${what}`;
    }
  }
}

function describe(schema: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const description = schema?.['description'];
  return typeof description === 'string' ? description : undefined;
}

function colon(text: string | undefined): string {
  return text === undefined ? '' : `: ${text}`;
}

/** A JSON Pointer as people write it: `/success/0/put` is "success[0].put". */
function nameOf(pointer: string): string {
  if (pointer === '') return '';
  const parts = pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const text = parts
    .map((part, at) => (/^\d+$/.test(part) ? `[${part}]` : at === 0 ? part : `.${part}`))
    .join('');
  return `"${text}"`;
}
