"""What no careful program writes and every catalogue holds: each ends as a product or as one sentence."""
