import { transportConformance } from './conformance.js';
import { GrpcWorld } from './grpc-world.js';

transportConformance('the gRPC transport', async () => new GrpcWorld());
