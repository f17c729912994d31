"""The panels of the dashboard, and the node on which the fault or the traffic that each is for takes place.

`healthy` is a node without a fault. What a panel of a fault shows must be absent, or 0, for that node.
"""

# Panels that show something of a node without a fault.
ORDINARY = {
    "Nodes": "healthy",
    "Tokens": "healthy",
    "Requests by route": "healthy",
    "Requests by status": "healthy",
    "Live sessions": "evicting",
    "Requests, by route": "healthy",
    "Signatures": "healthy",
    "Operations of the store": "healthy",
    "Keys, by state": "healthy",
    "Age of the active key": "healthy",
    "Operations": "healthy",
    "Writes in a commit": "healthy",
    "Memory for what has ended": "healthy",
    "All that has ended is in memory": "healthy",
    "Processors in use": "healthy",
    "Memory": "healthy",
    "File descriptors": "healthy",
    "Connections": "busy",
    "Signatures that wait": "busy",
    "Signatures computed together": "healthy",
    "Cost of a signature": "healthy",
}

FAULTS = {
    "Alarms": "acts",
    "Conditions that do not hold": "clock",
    "Sign-ins": "braze",
    "Logouts at identity providers": "braze",
    "Reported failures, by cause": "braze",
    "Reported failures, by code": "braze",
    "Refused requests, by code": "busy",
    "Requests for tokens that got none": "busy",
    "Alarms, by kind": "outage",
    "Events for the webhook": "braze",
    "Time in a state of a rotation": "braze",
    "Differences to Braze's keys": "braze",
    "Out of reach": "outage",
    "Answers without the store": "disk",
    "Requests refused for overload": "busy",
    "Log lines lost": "busy",
}

# No variable of a node in its query.
OF_ALL = {"Alerts that fire"}

# Nothing outside the process can cause these: they are asked in the replay, for the node whose counters rise there.
REPLAYED = {"Wrong batch signatures"}
