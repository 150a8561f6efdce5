// Fifty lines into a log that several processes share.
"use strict";
const Logger = require("sfn-logger");

const logger = new Logger({ filename: process.env.LOG, ttl: 50 });
for (let i = 0; i < 50; i++) logger.log(`${process.pid} ${i}`);
