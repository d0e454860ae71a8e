# Two stages: the first has the compiler, the second only what runs.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc tsconfig.json ./
COPY src ./src
COPY bin ./bin
COPY proto ./proto
# `npm ci` builds as well (the prepare script); then the tools that are not needed any more go.
RUN npm ci && npm prune --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/bin ./bin
COPY --from=build /app/proto ./proto
RUN ln -s /app/bin/raftkv.js /usr/local/bin/raftkv && mkdir /data /secret && chown node:node /data /secret
USER node
VOLUME /data
EXPOSE 8101 7101
# The exec form, so that SIGTERM reaches the server, which then hands leadership over and exits 0.
# Why this flag: src/cli/dev-node.ts.
ENTRYPOINT ["node", "--initial-old-space-size=256", "/app/bin/raftkv.js"]
CMD ["serve", "--help"]
