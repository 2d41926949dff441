-- Wireshark dissector for the link of agent and server: yamux frames, link messages, preface and reply (spec/wire.md,
-- spec/link.md; ADR 0049). A second reader of the formats: tests compare it with the vectors and with live sessions.
--
--   tunnel http 3000 --keylog keys ...             (or tunnel server --keylog keys)
--   tshark -r capture.pcap -o tls.keylog_file:keys -X lua_script:spec/wireshark/tunnel.lua -Y tunnel
--
-- Found by itself in TLS that agreed on ALPN tunnel/1. Frames without TLS: -d tcp.port==PORT,tunnel. In Wireshark put
-- this file into the personal Lua plugin folder (Help > About > Folders). Useful filters: tunnel.stream == 5,
-- tunnel.flags.rst == 1, tunnel.link, tunnel.bad.frame || tunnel.bad.message, tunnel.away > 0.

local tunnel = Proto("tunnel", "Tunnel link (yamux)")
tunnel.prefs.http = Pref.bool("Hand HTTP to the HTTP dissector", false,
    "It follows one conversation per TCP connection, so with many streams it may pair requests and answers wrongly")

local HEADER_BYTES = 12
local DATA, UPDATE, PING, AWAY = 0, 1, 2, 3
local SYN, ACK, FIN, RST = 1, 2, 4, 8
local CONTROL = 1
local LINK_VERSION = 3
local FRAME_BYTES_MAX = 1048576 -- beyond this a length is a fault, not something to wait for
local MESSAGE_BYTES_MAX = 4096
local HEAD_BYTES_SHOWN = 8192

local TYPES = { [DATA] = "Data", [UPDATE] = "Window Update", [PING] = "Ping", [AWAY] = "Go Away" }
local AWAY_CODES = { [0] = "normal", [1] = "protocol error", [2] = "internal error" }
local REPLIES = {
    [0] = "connected", [1] = "refused", [2] = "timed out", [3] = "unreachable", [4] = "TLS failed",
    [5] = "unknown endpoint", [6] = "overloaded",
}
local REFUSALS = {
    [1] = "version", [2] = "protocol", [3] = "too slow", [4] = "token malformed", [5] = "unknown key",
    [6] = "bad signature", [7] = "not yet valid", [8] = "expired", [9] = "too many sessions", [10] = "superseded",
    [11] = "shutting down", [12] = "revoked", [13] = "suspended", [14] = "ended by the operator",
}
local DENIALS = {
    [1] = "name taken", [2] = "not permitted", [3] = "too many", [4] = "bad name", [5] = "unsupported kind",
    [6] = "shutting down", [7] = "port taken", [8] = "no port",
}
local KINDS = { [1] = "HTTP", [2] = "TCP", [4] = "TLS" }
local SHARES = { [0] = "alone", [1] = "pool" }
local STATES = { [0] = "down", [1] = "up" }
local HOST_RULES = { [0] = "rewrite", [1] = "keep", [2] = "value" }

-- Fields of a message in order: name, type, bytes (text and block: at most), values when the set of them is closed.
local MESSAGES = {
    [0x01] = { "Hello", {
        { "version", "uint", 2 }, { "instance", "bytes", 16 }, { "token", "bytes", 801 }, { "software", "text", 64 },
        { "link", "uint", 1 },
    } },
    [0x02] = { "Expose", {
        { "endpoint", "uint", 4 }, { "kind", "uint", 1, KINDS }, { "name", "text", 255 }, { "host_rule", "rule", 261 },
        { "port", "uint", 2 }, { "share", "uint", 1, SHARES }, { "ttl_seconds", "uint", 4 },
        { "policy", "block", 2048 },
    } },
    [0x03] = { "Withdraw", { { "endpoint", "uint", 4 } } },
    [0x04] = { "Health", { { "endpoint", "uint", 4 }, { "state", "uint", 1, STATES }, { "detail", "text", 512 } } },
    [0x81] = { "Welcome", {
        { "session", "uint", 8 }, { "heartbeat_ms", "uint", 4 }, { "deadline_ms", "uint", 4 }, { "software", "text", 64 },
    } },
    [0x82] = { "Refused", { { "refusal", "uint", 1, REFUSALS }, { "detail", "text", 512 } } },
    [0x83] = { "Granted", {
        { "endpoint", "uint", 4 }, { "name", "text", 255 }, { "url", "text", 512 }, { "epoch", "uint", 8 },
        { "seconds_left", "uint", 4 },
    } },
    [0x84] = { "Denied", { { "endpoint", "uint", 4 }, { "denial", "uint", 1, DENIALS }, { "detail", "text", 512 } } },
    [0x85] = { "Drain", { { "grace_ms", "uint", 4 } } },
    [0x86] = { "Fenced", { { "endpoint", "uint", 4 }, { "detail", "text", 512 } } },
    [0x87] = { "Lapsed", { { "endpoint", "uint", 4 }, { "detail", "text", 512 } } },
}
local MESSAGE_NAMES = {}
for code, message in pairs(MESSAGES) do MESSAGE_NAMES[code] = message[1] end

-- Columns of Wireshark --------------------------------------------------------------------------------------------

local f = {
    version = ProtoField.uint8("tunnel.version", "Version"),
    type = ProtoField.uint8("tunnel.type", "Type", base.DEC, TYPES),
    flags = ProtoField.uint16("tunnel.flags", "Flags", base.HEX),
    syn = ProtoField.bool("tunnel.flags.syn", "SYN", 16, nil, SYN),
    ack = ProtoField.bool("tunnel.flags.ack", "ACK", 16, nil, ACK),
    fin = ProtoField.bool("tunnel.flags.fin", "FIN", 16, nil, FIN),
    rst = ProtoField.bool("tunnel.flags.rst", "RST", 16, nil, RST),
    stream = ProtoField.uint32("tunnel.stream", "Stream"),
    length = ProtoField.uint32("tunnel.length", "Length"),
    delta = ProtoField.uint32("tunnel.window_delta", "Window delta"),
    ping = ProtoField.uint32("tunnel.ping", "Ping value", base.HEX),
    away = ProtoField.uint32("tunnel.away", "Reason", base.DEC, AWAY_CODES),
    payload = ProtoField.bytes("tunnel.payload", "Payload"),
    line = ProtoField.string("tunnel.http.line", "HTTP"),
    link = ProtoField.none("tunnel.link", "Link message"),
    link_length = ProtoField.uint16("tunnel.link.length", "Length"),
    link_message = ProtoField.uint8("tunnel.link.message", "Message", base.HEX, MESSAGE_NAMES),
    rule = ProtoField.uint8("tunnel.link.host_rule", "Host rule", base.DEC, HOST_RULES),
    authority = ProtoField.string("tunnel.link.authority", "Host"),
    preface = ProtoField.none("tunnel.preface", "Preface"),
    preface_version = ProtoField.uint8("tunnel.preface.version", "Version"),
    preface_endpoint = ProtoField.uint32("tunnel.preface.endpoint", "Endpoint"),
    preface_port = ProtoField.uint16("tunnel.preface.port", "Visitor's port"),
    preface_address = ProtoField.string("tunnel.preface.address", "Visitor's address"),
    preface_public_port = ProtoField.uint16("tunnel.preface.public_port", "Public port"),
    preface_public_address = ProtoField.string("tunnel.preface.public_address", "Public address"),
    reply = ProtoField.none("tunnel.reply", "Reply"),
    reply_version = ProtoField.uint8("tunnel.reply.version", "Version"),
    reply_code = ProtoField.uint8("tunnel.reply.code", "Code", base.DEC, REPLIES),
}
local link_fields = {}
for _, message in pairs(MESSAGES) do
    for _, field in ipairs(message[2]) do
        local name, kind, size, values = field[1], field[2], field[3], field[4]
        if not link_fields[name] and kind ~= "rule" then
            local key = "tunnel.link." .. name
            if kind == "text" then link_fields[name] = ProtoField.string(key, name)
            elseif kind == "bytes" or kind == "block" then link_fields[name] = ProtoField.bytes(key, name)
            elseif size == 8 then link_fields[name] = ProtoField.uint64(key, name)
            elseif size == 4 then link_fields[name] = ProtoField.uint32(key, name, base.DEC, values)
            elseif size == 2 then link_fields[name] = ProtoField.uint16(key, name, base.DEC, values)
            else link_fields[name] = ProtoField.uint8(key, name, base.DEC, values) end
        end
    end
end
local all_fields = {}
for _, field in pairs(f) do table.insert(all_fields, field) end
for _, field in pairs(link_fields) do table.insert(all_fields, field) end
tunnel.fields = all_fields

local bad_frame = ProtoExpert.new("tunnel.bad.frame", "Malformed frame", expert.group.MALFORMED, expert.severity.ERROR)
local bad = ProtoExpert.new("tunnel.bad.message", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR)
local ended = ProtoExpert.new("tunnel.ended", "Session ended by a fault", expert.group.RESPONSE_CODE, expert.severity.WARN)
local reset = ProtoExpert.new("tunnel.reset", "Stream reset", expert.group.SEQUENCE, expert.severity.NOTE)
tunnel.experts = { bad_frame, bad, ended, reset }

local tcp_stream = Field.new("tcp.stream")

-- What was seen before ----------------------------------------------------------------------------------------------

-- Frames are read in order once; what a payload means depends on what came before it, so it is noted then, by packet.
local halves = {} -- "tcp stream/source port/yamux stream" -> { held = bytes that wait for more, phase = what comes next }
local notes = {} -- packet number -> { next = , [1] = {...}, [2] = {...} } in the order of its frames

function tunnel.init()
    halves, notes = {}, {}
end

local function key_of(port, stream)
    local number = tcp_stream()
    return (number and number.value or 0) .. "/" .. port .. "/" .. stream
end

-- Both directions begin here, also those of a number that is used again. Whoever opens a stream sends the preface.
local function opened(pinfo, stream)
    halves[key_of(pinfo.src_port, stream)] = { held = "", phase = stream == CONTROL and "messages" or "preface" }
    halves[key_of(pinfo.dst_port, stream)] = { held = "", phase = stream == CONTROL and "messages" or "reply" }
end

-- The one direction of one stream; of one that was open before the capture began nothing is known.
local function half_of(pinfo, stream)
    return halves[key_of(pinfo.src_port, stream)] or { held = "", phase = "body" }
end

local function uint_of(bytes, at, size)
    local sum = 0
    for i = at, at + size - 1 do sum = sum * 256 + bytes:byte(i) end
    return sum
end

-- Whole messages out of the bytes of a control stream; each with a fault or none.
local function messages_of(half)
    local found = {}
    while half.phase == "messages" and #half.held >= 2 do
        local size = uint_of(half.held, 1, 2)
        if size + 3 > MESSAGE_BYTES_MAX then
            half.phase = "body"
            table.insert(found, { raw = half.held, fault = "a message of " .. size + 3 .. " bytes" })
            break
        end
        if #half.held >= 3 and not MESSAGES[half.held:byte(3)] then
            half.phase = "body"
            table.insert(found, { raw = half.held, fault = "an unknown message" })
            break
        end
        if #half.held < size + 3 then break end
        table.insert(found, { raw = half.held:sub(1, size + 3) })
        half.held = half.held:sub(size + 4)
    end
    return found
end

local function preface_of(half)
    local held = half.held
    if #held >= 1 and held:byte(1) ~= 1 then return { raw = held, fault = "a preface of another version" } end
    local till = 5 -- version and endpoint; then port and address twice, of the visitor and of what it connected to
    for _ = 1, 2 do
        if #held < till + 4 then return nil end
        local size = uint_of(held, till + 3, 2)
        if size > 64 then return { raw = held, fault = "an address that is too long" } end
        till = till + 4 + size
    end
    if #held < till then return nil end
    return { raw = held:sub(1, till) }
end

local function reply_of(half)
    if #half.held < 2 then return nil end
    local code = half.held:sub(1, 2)
    if code:byte(1) ~= 1 or not REPLIES[code:byte(2)] then return { raw = code, fault = "an unknown reply" } end
    return { raw = code }
end

-- What one payload holds: messages, a preface or reply that it completes, and where the visitor's bytes begin.
local function note_of(pinfo, stream, payload)
    local half = half_of(pinfo, stream)
    if half.phase == "messages" then
        half.held = half.held .. payload
        return { messages = messages_of(half) }
    end
    if half.phase == "preface" or half.phase == "reply" then
        local before, phase = #half.held, half.phase
        half.held = half.held .. payload
        local found
        if phase == "preface" then found = preface_of(half) else found = reply_of(half) end
        if not found then return { begins = #payload } end
        half.phase, half.held = "body", ""
        return { begins = math.max(#found.raw - before, 0), [phase] = found }
    end
    return { begins = 0 }
end

local function noted(pinfo, stream, payload)
    local list = notes[pinfo.number]
    if not pinfo.visited then
        if not list then
            list = { next = 0 }
            notes[pinfo.number] = list
        end
        table.insert(list, note_of(pinfo, stream, payload))
        return list[#list]
    end
    if not list or #list == 0 then return { begins = 0 } end
    list.next = list.next % #list + 1
    return list[list.next]
end

-- Showing -----------------------------------------------------------------------------------------------------------

local function fault(tree, text)
    tree:add_proto_expert_info(bad, "Malformed: " .. text)
    return text
end

-- Where the bytes of something are: in this payload when it ends with them, else in a buffer of their own.
local function buffer_of(payload, raw, name)
    if payload:len() >= #raw then
        local bytes = payload:bytes():raw()
        local at = bytes:find(raw, 1, true)
        if at then return payload(at - 1, #raw) end
    end
    local whole = ByteArray.new(raw, true):tvb(name)
    return whole(0, #raw)
end

local function add_text(tree, field, range, at, chars_max)
    if at + 2 > range:len() then return nil end
    local size = range(at, 2):uint()
    if size > chars_max or at + 2 + size > range:len() then return nil end
    local text = size > 0 and range(at + 2, size):raw() or ""
    if text:find("[^ -~]") then return nil end
    tree:add(field, range(at, 2 + size), text)
    return at + 2 + size, text
end

local function add_block(tree, field, range, at, bytes_max)
    if at + 2 > range:len() then return nil end
    local size = range(at, 2):uint()
    if size > bytes_max or at + 2 + size > range:len() then return nil end
    if size > 0 then tree:add(field, range(at + 2, size)) end
    return at + 2 + size
end

local function add_rule(tree, range, at, chars_max)
    if at + 1 > range:len() then return nil end
    local rule = range(at, 1):uint()
    tree:add(f.rule, range(at, 1))
    if not HOST_RULES[rule] then return nil end
    if rule == 1 then return at + 1 end
    local after, text = add_text(tree, f.authority, range, at + 1, chars_max)
    if text == "" then return nil end
    return after
end

local function add_field(tree, field, range, at)
    local name, kind, size, values = field[1], field[2], field[3], field[4]
    if kind == "text" then return add_text(tree, link_fields[name], range, at, size) end
    if kind == "rule" then return add_rule(tree, range, at, size) end
    if kind == "block" then return add_block(tree, link_fields[name], range, at, size) end
    if at + size > range:len() then return nil end
    tree:add(link_fields[name], range(at, size))
    if values and not values[range(at, size):uint()] then return nil end
    if name == "endpoint" and range(at, size):uint() == 0 then return nil end
    if name == "version" and range(at, size):uint() ~= LINK_VERSION then return nil end
    return at + size
end

local function show_message(tree, payload, message)
    local range = buffer_of(payload, message.raw, "Link message")
    local node = tree:add(f.link, range)
    if message.fault then return fault(node, message.fault) end
    local kind = MESSAGES[range(2, 1):uint()]
    node:append_text(": " .. kind[1])
    node:add(f.link_length, range(0, 2))
    node:add(f.link_message, range(2, 1))
    local at = 3
    for _, field in ipairs(kind[2]) do
        at = add_field(node, field, range, at)
        if not at then return kind[1] .. " (" .. fault(node, "field " .. field[1]) .. ")" end
    end
    if at ~= range:len() then return kind[1] .. " (" .. fault(node, "bytes after the last field") .. ")" end
    return kind[1]
end

local function show_preface(tree, payload, preface)
    local range = buffer_of(payload, preface.raw, "Preface")
    local node = tree:add(f.preface, range)
    if preface.fault then return fault(node, preface.fault) end
    node:add(f.preface_version, range(0, 1))
    node:add(f.preface_endpoint, range(1, 4))
    node:add(f.preface_port, range(5, 2))
    local after, address = add_text(node, f.preface_address, range, 7, 64)
    if not after then return fault(node, "the address") end
    node:add(f.preface_public_port, range(after, 2))
    local till = add_text(node, f.preface_public_address, range, after + 2, 64)
    if not till then return fault(node, "the public address") end
    if range(1, 4):uint() == 0 then return fault(node, "endpoint 0") end
    node:append_text(": endpoint " .. range(1, 4):uint() .. ", visitor " .. address .. ":" .. range(5, 2):uint())
    return "Preface"
end

local function show_reply(tree, payload, reply)
    local range = buffer_of(payload, reply.raw, "Reply")
    local node = tree:add(f.reply, range)
    node:add(f.reply_version, range(0, 1))
    node:add(f.reply_code, range(1, 1))
    if reply.fault then return fault(node, reply.fault) end
    node:append_text(": " .. REPLIES[range(1, 1):uint()])
    return "Reply " .. REPLIES[range(1, 1):uint()]
end

-- The lines of a head that starts here, as text: enough to recognise an exchange, whatever else shares the connection.
local function show_head(tree, range)
    local text = range(0, math.min(range:len(), HEAD_BYTES_SHOWN)):raw()
    if not (text:match("^[A-Z]+ [^ ]+ HTTP/1%.%d\r\n") or text:match("^HTTP/1%.%d %d%d%d")) then return nil end
    local at = 1
    while true do
        local till = text:find("\r\n", at, true)
        if not till or till == at then break end
        tree:add(f.line, range(at - 1, till - at), text:sub(at, till - 1))
        at = till + 2
    end
    return text:match("^[^\r]*")
end

local function show_body(tree, range, pinfo)
    local first = show_head(tree, range)
    if not first or not tunnel.prefs.http then return first end
    -- Whatever HTTP would like to see more of is not for TLS to bring: the next bytes may be of another stream.
    local could = pinfo.can_desegment
    pinfo.can_desegment = 0
    Dissector.get("http"):call(range:tvb(), pinfo, tree)
    pinfo.can_desegment = could
    return first
end

local function show_payload(tree, range, pinfo, stream)
    local note = noted(pinfo, stream, range:raw())
    local told = {}
    for _, message in ipairs(note.messages or {}) do table.insert(told, show_message(tree, range, message)) end
    if note.preface then table.insert(told, show_preface(tree, range, note.preface)) end
    if note.reply then table.insert(told, show_reply(tree, range, note.reply)) end
    if note.begins and note.begins < range:len() then
        local rest = range(note.begins)
        tree:add(f.payload, rest)
        local first = show_body(tree, rest, pinfo)
        if first then table.insert(told, first) end
    end
    return table.concat(told, ", ")
end

local function flag_names(flags)
    local names = {}
    for _, pair in ipairs({ { SYN, "SYN" }, { ACK, "ACK" }, { FIN, "FIN" }, { RST, "RST" } }) do
        if bit.band(flags, pair[1]) ~= 0 then table.insert(names, pair[2]) end
    end
    return #names > 0 and " " .. table.concat(names, "|") or ""
end

local function show_header(tree, range)
    tree:add(f.version, range(0, 1))
    tree:add(f.type, range(1, 1))
    local flags = tree:add(f.flags, range(2, 2))
    for _, field in ipairs({ f.syn, f.ack, f.fin, f.rst }) do flags:add(field, range(2, 2)) end
    tree:add(f.stream, range(4, 4))
    tree:add(f.length, range(8, 4))
    local field = ({ [UPDATE] = f.delta, [PING] = f.ping, [AWAY] = f.away })[range(1, 1):uint()]
    if field then tree:add(field, range(8, 4)) end
end

-- What is wrong with a header by itself; nil when nothing is.
local function header_fault(range)
    local kind, stream, length = range(1, 1):uint(), range(4, 4):uint(), range(8, 4):uint()
    if range(0, 1):uint() ~= 0 then return "version " .. range(0, 1):uint() end
    if kind > AWAY then return "type " .. kind end
    if kind == DATA and length > FRAME_BYTES_MAX then return "a frame of " .. length .. " bytes" end
    if (kind == DATA or kind == UPDATE) and stream == 0 then return TYPES[kind] .. " on stream 0" end
    if (kind == PING or kind == AWAY) and stream ~= 0 then return TYPES[kind] .. " on stream " .. stream end
    return nil
end

local function show_frame(tvb, at, size, pinfo, root)
    local range = tvb(at, HEADER_BYTES)
    local kind, flags, stream, value = range(1, 1):uint(), range(2, 2):uint(), range(4, 4):uint(), range(8, 4):uint()
    local tree = root:add(tunnel, tvb(at, size))
    show_header(tree, range)
    local title = (TYPES[kind] or "?") .. flag_names(flags)
    if kind == DATA or kind == UPDATE then title = title .. " stream " .. stream .. " " .. value end
    if kind == AWAY then title = title .. " " .. (AWAY_CODES[value] or value) end
    local wrong = header_fault(range)
    if wrong then
        tree:add_proto_expert_info(bad_frame, "Malformed: " .. wrong)
        title = title .. " (" .. wrong .. ")"
    end
    if not wrong and not pinfo.visited and bit.band(flags, SYN) ~= 0 and kind <= UPDATE then opened(pinfo, stream) end
    if not wrong and size > HEADER_BYTES then
        local told = show_payload(tree, tvb(at + HEADER_BYTES, size - HEADER_BYTES), pinfo, stream)
        if told ~= "" then title = title .. " [" .. told .. "]" end
    end
    if bit.band(flags, RST) ~= 0 and kind <= UPDATE then tree:add_proto_expert_info(reset, "Stream " .. stream .. " reset") end
    if kind == AWAY and value ~= 0 then tree:add_proto_expert_info(ended) end
    tree:append_text(", " .. title)
    return title
end

function tunnel.dissector(tvb, pinfo, root)
    pinfo.cols.protocol = "TUNNEL"
    local at, titles = 0, {}
    while at < tvb:len() do
        local left = tvb:len() - at
        if left < HEADER_BYTES then
            pinfo.desegment_offset, pinfo.desegment_len = at, DESEGMENT_ONE_MORE_SEGMENT
            break
        end
        local size = HEADER_BYTES
        if tvb(at + 1, 1):uint() == DATA and not header_fault(tvb(at, HEADER_BYTES)) then
            size = size + tvb(at + 8, 4):uint()
        end
        if left < size then
            pinfo.desegment_offset, pinfo.desegment_len = at, size - left
            break
        end
        table.insert(titles, show_frame(tvb, at, size, pinfo, root))
        at = at + size
    end
    if #titles > 0 then
        pinfo.cols.info:set(table.concat(titles, "; "))
        pinfo.cols.info:fence()
    end
    return tvb:len()
end

-- tls.alpn finds it by itself, tls.port is what Decode As uses inside TLS, tcp.port without.
DissectorTable.get("tls.alpn"):add("tunnel/1", tunnel)
DissectorTable.get("tls.port"):add_for_decode_as(tunnel)
DissectorTable.get("tcp.port"):add_for_decode_as(tunnel)
