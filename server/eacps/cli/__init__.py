"""The command line, and with it the composition root: the only part that reads the environment.

    app, options           commands and their options
    composition            settings from the environment, overridden by options
    serving, embedding     the search server in the foreground; an embedded Triton
    searching, demo        one search, live and to files
    request, remote        options to a request; one search against a server
    record                 what a client has seen of a search
    live, summary          a running and a finished search for a person
    report, contact_sheet  a finished search as files: best.png, contact_sheet.png, result.json
    doctor                 what the embedded Triton needs on this machine
    outcome, interrupts    errors to messages and exit codes; Ctrl-C and SIGTERM

Commands import what they need when they run, so that ``eacps --help`` answers at once.
"""
