// A client of somebody else's making: Connect for Node over code that Buf's generator wrote.
//
// It calls the server at the address it is given, as an application would, and prints as JSON what it has seen.

import { readFile } from "node:fs/promises";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type MessageInitShape, toJson } from "@bufbuild/protobuf";

import {
  ImageSchema,
  Move,
  RoundKind,
  type RunSearchRequestSchema,
  SearchSchema,
  SearchService,
  SearchState,
} from "../gen/eacps/v1/search_service_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";

const [address, scenePath, characterPath] = process.argv.slice(2);
if (address === undefined || scenePath === undefined || characterPath === undefined) {
  throw new Error("usage: client ADDRESS SCENE CHARACTER");
}
const client = createClient(SearchService, createGrpcTransport({ baseUrl: `http://${address}` }));

const character = await readFile(characterPath);
async function* chunks(bytes: Uint8Array) {
  for (let start = 0; start < bytes.length; start += 1000) {
    yield { chunk: bytes.subarray(start, start + 1000) };
  }
}
const uploaded = await client.uploadImage(chunks(await readFile(scenePath)));
if (uploaded.image === undefined) throw new Error("no image");

const request: MessageInitShape<typeof RunSearchRequestSchema> = {
  scene: uploaded.image,
  character: { source: { case: "data", value: character } },
  prompt: "make the person smile",
  requestId: "typescript",
  search: {
    strategy: {
      case: "eacps",
      value: { globalCandidates: 4, parents: 1, childrenPerParent: 2, localMove: { case: "spherical", value: { angle: 0.5 } } },
    },
    randomSeed: 5,
  },
};

const moves: string[] = [];
const kinds: string[] = [];
let searchId = "";
let last = "";
let delivered = 0;
for await (const { response } of client.runSearch(request)) {
  if (response.case === "search") {
    searchId = response.value.searchId;
  } else if (response.case === "event") {
    const { event, sequence } = response.value;
    last = `${event.case} ${sequence}`;
    if (event.case === "candidateScored") moves.push(Move[event.value.move]);
    if (event.case === "roundFinished") kinds.push(RoundKind[event.value.kind]);
    if (event.case === "finished" && event.value.delivered?.source.case === "data") {
      delivered = event.value.delivered.source.value.length;
    }
  }
}

const { search } = await client.getSearch({ searchId });
if (search?.result?.delivered?.source.case !== "artifact") throw new Error("no artifact");
let downloaded = 0;
for await (const { chunk } of client.downloadArtifact({ artifact: search.result.delivered.source.value })) {
  downloaded += chunk.length;
}

async function errorOf(call: Promise<unknown>) {
  try {
    await call;
  } catch (error) {
    const failed = ConnectError.from(error);
    const info = failed.findDetails(ErrorInfoSchema)[0];
    return {
      code: Code[failed.code],
      reason: info?.reason,
      domain: info?.domain,
      fields: failed.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations.map((one) => one.field)),
    };
  }
  throw new Error("the call succeeded");
}

const invalid = await errorOf(
  client.createSearch({ search: { ...request, requestId: "invalid", prompt: "", sceneFace: { by: { case: "index", value: -1 } } } }),
);
const taken = await errorOf(client.createSearch({ search: { ...request, prompt: "make the person frown" } }));
const again = await client.createSearch({ search: { ...request, priority: 100, sampler: {} } });
await client.deleteSearch({ searchId });
const missing = await errorOf(client.deleteSearch({ searchId }));
await client.deleteSearch({ searchId, allowMissing: true });
const { searches } = await client.listSearches({ pageSize: 1_000_000 });

console.log(
  JSON.stringify({
    uploaded: toJson(ImageSchema, uploaded.image),
    expires: uploaded.expireTime !== undefined,
    moves,
    kinds,
    last,
    delivered,
    downloaded,
    state: SearchState[search.state],
    kept: toJson(SearchSchema, search),
    again: again.search?.searchId === searchId,
    invalid,
    taken,
    missing,
    left: searches.length,
  }),
);
