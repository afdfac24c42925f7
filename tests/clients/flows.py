# SPDX-License-Identifier: BSD-3-Clause
"""flows -- what flows of several clients share."""

import threading

RELEASE = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
LIMIT = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if n > tonumber(ARGV[1]) then return 0 end
return 1
"""
# A tag's set names keys that the script does not declare.
FLUSH_TAG = """
local n = 0
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do n = n + redis.call('DEL', name) end
redis.call('DEL', KEYS[1])
return n
"""


class Background:
    """A call on its own thread: `result()` waits for what it returns or raises."""

    def __init__(self, call, *args):
        self.outcome = self.error = None

        def run():
            try:
                self.outcome = call(*args)
            except Exception as error:  # told by result()
                self.error = error
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def result(self, deadline_s=10):
        self.thread.join(deadline_s)
        assert not self.thread.is_alive(), "it still waits"
        if self.error:
            raise self.error
        return self.outcome
