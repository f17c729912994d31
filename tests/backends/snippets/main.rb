
status, body = countersign_session("42")
puts status, body
