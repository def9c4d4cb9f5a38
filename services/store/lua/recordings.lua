-- How many neighbours share a key that tells when they were recorded. Where predictions are many, some hundred are
-- recorded at once; where they are few, as many places have to be looked at.
local NEIGHBOURS = 128

local function recordings(owner, id)
  return owner.recordings .. string.format('%.0f', math.floor(tonumber(id) / NEIGHBOURS))
end

local function find(events, times, id)
  for _, ms in ipairs(times) do
    local entry = redis.call('XRANGE', events, ms .. '-' .. id, ms .. '-' .. id)[1]
    if entry then return entry[2][2] end
  end
  return false
end
