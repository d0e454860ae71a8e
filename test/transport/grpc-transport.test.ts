import { transportConformance } from './conformance.js';
import { GrpcWorld } from './grpc-world.js';

transportConformance('the gRPC transport', async () => new GrpcWorld());

const secret = Buffer.from('0123456789abcdef0123456789abcdef');

transportConformance(
  'the gRPC transport with a cluster secret',
  async () => new GrpcWorld({ mode: 'required', secrets: () => [secret] }),
);
