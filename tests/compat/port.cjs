// SPDX-License-Identifier: BSD-3-Clause
// Suites of others have Redis' well-known port written into them: connections to it go to $SUITE_PORT.
const { Socket } = require("net");

const connect = Socket.prototype.connect;
Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options !== null && typeof options === "object" && Number(options.port) === 6379)
    options.port = Number(process.env.SUITE_PORT);
  else if (Number(options) === 6379)
    args[0] = Number(process.env.SUITE_PORT);
  return connect.apply(this, args);
};
