"""How records spread by GossipSub in swarms too large for the real router: who is connected, the mesh, the flood."""
