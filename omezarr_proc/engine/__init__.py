"""Who makes bands, and where. All engines make the same bytes.

base    the contract
serial  one after another, in this process: for `view`, tests, debuggers, coverage
local   workers on this machine, over shared memory
"""
