#!/usr/bin/env node
// A model container: one replica of one model version behind a gRPC server.
'use strict';

const path = require('node:path');
const { setImmediate: othersTurn, setTimeout: sleep } = require('node:timers/promises');
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const { HealthImplementation } = require('grpc-health-check');
const { Lease } = require('./lease');
const { Model } = require('./model');

const PROTOS = path.join(__dirname, '../../../protos');
const SERVICE = 'clipper.v1.ModelContainerService';
const INPUT_TYPE = `INPUT_TYPE_${Model.inputType.toUpperCase()}`;
const LARGEST_ANSWER_BYTES = 64 << 20; // a larger one would break the stream
const AROUND_EACH_BYTES = 32;
const LONGEST_BUSY_MS = 20; // a large batch keeps neither the lease nor other streams waiting
const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': 128 << 20,
  'grpc.max_send_message_length': LARGEST_ANSWER_BYTES,
  // A query service that vanished without a word is noticed. Its own pings are welcome: grpc-js refuses none.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
};
const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function contracts() {
  const files = ['clipper/v1/model_container_service.proto', 'clipper/v1/management_service.proto'];
  // As text a number keeps all of its 64 bits.
  const options = { includeDirs: [PROTOS], longs: String, enums: String, defaults: true };
  return grpc.loadPackageDefinition(protoLoader.loadSync(files, options)).clipper.v1;
}

function setting(name, unset) {
  const value = process.env[name] || unset;
  if (value === undefined) throw new Error(`The environment variable ${name} must be set`);
  return value;
}

// Answers one query service's batches, in the order in which they come.
async function predictBatch(model, stream) {
  for await (const request of stream.iterator({ destroyOnReturn: false })) {
    if (!request.inputs?.lengths.length) {
      stream.emit('error', { code: grpc.status.INVALID_ARGUMENT, details: 'The batch has no inputs' });
      return;
    }
    const response = await answer(model, request);
    await new Promise((sent) => stream.write(response, sent));
  }
  stream.end();
}

async function answer(model, request) {
  const began = process.hrtime.bigint();
  const { data, lengths } = request.inputs;
  const fault = faultOf(request.inputs);
  const response = { batchId: request.batchId, outputs: [], failures: [] };
  let position = 0;
  let room = LARGEST_ANSWER_BYTES - AROUND_EACH_BYTES * lengths.length;
  let busySince = performance.now();
  for (const [index, length] of lengths.entries()) {
    if (performance.now() > busySince + LONGEST_BUSY_MS) {
      await othersTurn();
      busySince = performance.now();
    }
    let output = '';
    try {
      if (fault) throw new Error(fault);
      const text = model.predict(UTF_8.decode(data.subarray(position, (position += length))));
      const bytes = Buffer.byteLength(text);
      if (bytes > room) throw new Error("The batch's outputs exceed 64 MiB; deploy smaller batches");
      room -= bytes;
      output = text;
    } catch (error) {
      response.failures.push({ index, message: String(error) });
    }
    response.outputs.push(output);
  }
  response.modelMicros = Number((process.hrtime.bigint() - began) / 1_000n);
  return response;
}

// What is wrong with a batch as a whole; undefined: nothing.
function faultOf({ type, data, lengths }) {
  if (type !== INPUT_TYPE) return `The model takes ${Model.inputType}`;
  const elements = lengths.reduce((sum, length) => sum + length, 0);
  return elements === data.length ? undefined : 'The lengths do not add up to the data';
}

// What SIGTERM and SIGINT come to: no new batches, and an answer for all that are here.
async function drain(server, health, lease, graceMs) {
  const graceIsOver = sleep(graceMs);
  await lease?.release();
  for (const service of ['', SERVICE]) health.setStatus(service, 'NOT_SERVING');
  await Promise.race([promisify(server.tryShutdown).call(server), graceIsOver]);
  process.exit(0);
}

async function main() {
  const inputType = setting('CLIPPER_INPUT_TYPE');
  if (inputType !== Model.inputType) throw new Error(`CLIPPER_INPUT_TYPE must be ${Model.inputType}, not ${inputType}`);
  const address = setting('CLIPPER_ADDRESS', '127.0.0.1:0');
  const host = setting('CLIPPER_ADVERTISED_HOST', address.slice(0, address.lastIndexOf(':')));
  const replica = {
    modelName: setting('CLIPPER_MODEL_NAME'),
    modelVersion: setting('CLIPPER_MODEL_VERSION'),
    inputType: INPUT_TYPE,
  };
  const graceMs = 1_000 * Number(setting('CLIPPER_DRAIN_GRACE_S', '10'));
  const management = setting('CLIPPER_MANAGEMENT_ADDRESS', '');
  const model = new Model(setting('CLIPPER_MODEL_PATH', '/model'));

  const { ModelContainerService, ManagementService } = contracts();
  const server = new grpc.Server(SERVER_OPTIONS);
  server.addService(ModelContainerService.service, {
    // A stream that its query service has broken off is of no interest any more.
    predictBatch: (stream) => predictBatch(model, stream).catch(() => stream.destroy()),
  });
  const health = new HealthImplementation({ '': 'SERVING', [SERVICE]: 'SERVING' });
  health.addToServer(server);
  const port = await promisify(server.bindAsync).call(server, address, grpc.ServerCredentials.createInsecure());
  replica.address = `${host}:${port}`;
  const lease = management ? new Lease(ManagementService, management, replica) : undefined;
  // A second signal ends the process.
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => drain(server, health, lease, graceMs));
  console.error(`ready at ${replica.address}`);
}

main().catch((error) => {
  console.error(String(error));
  process.exit(2);
});
