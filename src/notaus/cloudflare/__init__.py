"""The one package that knows Cloudflare's URLs and answers."""
