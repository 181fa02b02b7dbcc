-- What the selected database holds, read by the server's own commands, one line for each key: for a comparison from outside.
local function flat(value)
  if type(value) == 'table' then
    if value.ok then return value.ok end
    local texts = {}
    for index, one in ipairs(value) do texts[index] = flat(one) end
    return '(' .. table.concat(texts, ',') .. ')'
  end
  return #tostring(value) .. ':' .. tostring(value)
end
local function sorted(list)
  local texts = {}
  for index, one in ipairs(list) do texts[index] = flat(one) end
  table.sort(texts)
  return table.concat(texts, ',')
end
local function field(list, name)
  for index = 1, #list, 2 do if list[index] == name then return list[index + 1] end end
end
local read = {
  string = function(key) return redis.call('GET', key) end,
  list = function(key) return flat(redis.call('LRANGE', key, 0, -1)) end,
  set = function(key) return sorted(redis.call('SMEMBERS', key)) end,
  zset = function(key)
    local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    -- Versions write the same number in different ways.
    for index = 2, #all, 2 do all[index] = string.format('%.17g', tonumber(all[index])) end
    return flat(all)
  end,
  hash = function(key)
    local all, pairs_of = redis.call('HGETALL', key), {}
    for index = 1, #all, 2 do
      local expires = redis.pcall('HPEXPIRETIME', key, 'FIELDS', 1, all[index])
      pairs_of[#pairs_of + 1] = { all[index], all[index + 1], expires.err and -1 or expires[1] }
    end
    return sorted(pairs_of)
  end,
  stream = function(key)
    local text = { flat(redis.call('XRANGE', key, '-', '+')), flat(field(redis.call('XINFO', 'STREAM', key), 'last-generated-id')) }
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
      local name = field(group, 'name')
      text[#text + 1] = flat({ name, field(group, 'pending'), field(group, 'last-delivered-id') })
      for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', key, name)) do
        text[#text + 1] = flat({ field(consumer, 'name'), field(consumer, 'pending') })
      end
      for _, pending in ipairs(redis.call('XPENDING', key, name, '-', '+', 10000)) do
        text[#text + 1] = flat({ pending[1], pending[2], pending[4] })
      end
    end
    return table.concat(text, ';')
  end,
}
local keys, lines = redis.call('KEYS', '*'), {}
table.sort(keys)
for index, key in ipairs(keys) do
  local kind = redis.call('TYPE', key).ok
  local expires = redis.pcall('PEXPIRETIME', key)
  -- Before 7.0 only whether it expires: a time that is computed from what is left is off by a millisecond.
  if type(expires) == 'table' or ARGV[1] == 'older' then expires = redis.call('PTTL', key) > 0 and 'expires' or 'stays' end
  lines[index] = redis.sha1hex(key) .. ' ' .. kind .. ' ' .. expires .. ' ' .. redis.sha1hex(read[kind](key))
end
return lines
