"""One example for the help of every command. A test runs the command line parser over each."""

EXAMPLES = {
    "up": "eacps up --insecure",
    "serve": "eacps serve --triton triton:8001 --listen 0.0.0.0:50051 --api-keys api_keys.json",
    "search": "eacps search scene.png character.png --prompt 'make the person smile' --trajectories 64 --out out/smile",
    "batch": "eacps batch shots.csv --out finals --name '{shot}_{candidate}.png'",
    "pick": "eacps pick 0123456789abcdef0123456789abcdef g1-003 shot12a.png",
    "rank": "eacps rank 0123456789ab --weight identity=0.8 --weight realism=0.2 --floor identity=0.5",
    "review": "eacps review 0123456789ab --out shot12a.html",
    "studio": "eacps studio --server 127.0.0.1:50051",
    "faces": "eacps faces scene.png --out scene_faces.png",
    "demo": "eacps demo --out out/demo",
    "key": "eacps key studio --api-keys api_keys.json",
    "health": "eacps health --server 127.0.0.1:50051 --live",
    "doctor": "eacps doctor --json",
    "version": "eacps version",
    "submit": "eacps submit scene.png character.png --prompt 'make the person smile' --label shot=12a",
    "watch": "eacps watch 0123456789abcdef0123456789abcdef --out out/shot12a",
    "list": "eacps list --state running --label shot=12a",
    "cancel": "eacps cancel 0123456789abcdef0123456789abcdef",
    "delete": "eacps delete 0123456789abcdef0123456789abcdef",
    "download": "eacps download HASH best.png",
    "render": "eacps render 0123456789abcdef0123456789abcdef g1-003 again.png --steps 40",
    "inspect": "eacps inspect best.png",
    "http": "eacps http --server 127.0.0.1:50051 --listen 127.0.0.1:8080",
    "mcp": "eacps mcp --server 127.0.0.1:50051 --pictures .",
    "score": "eacps score scene.png character.png mine.png theirs.png --prompt 'make the person smile'",
}


def example_of(command: str) -> str:
    """Return the last lines of a command's help."""
    return f"Example: {EXAMPLES[command]}"
