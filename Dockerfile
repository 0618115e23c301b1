# The same steps anybody can run by hand: npm ci, npm run build, node bin/ebbgate.js.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    EBBGATE_HOST=0.0.0.0 \
    EBBGATE_DATA=/data
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY bin ./bin
COPY openapi ./openapi
COPY docs ./docs
# The data folder belongs to the user that the gateway runs as, also when it becomes a volume.
RUN install -d -o node -g node /data
USER node
VOLUME /data
EXPOSE 8082
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.EBBGATE_PORT || 8082}/readyz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/ebbgate.js"]
CMD ["serve"]
